"""Steps are located, and left out, by arithmetic: nothing is read."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numbered import ids_of, loader_of, write_chunks
from products import examples
from ranks import rank_loaders, through_json, write_counted

from pyloader.errors import DataDirError

COUNTS = [30, 0, 17, 1, 44, 23, 8, 60, 5, 1]

counts = st.lists(st.integers(0, 30) | st.integers(0, 1), min_size=1, max_size=8).filter(any)
rules = st.sampled_from(["drop", "pad", "wrap"])


@pytest.mark.slow
@settings(max_examples=examples(40))
@given(
    counts=counts,
    num_streams=st.sampled_from([1, 2, 6]),
    share=st.integers(1, 6),
    window=st.integers(1, 5),
    last_batch=rules,
    shuffle=st.booleans(),
)
def test_a_step_is_located_without_reading(tmp_path_factory, counts, num_streams, share, window, last_batch, shuffle):
    whole = share * num_streams
    assume(sum(counts) >= (whole if last_batch == "drop" else num_streams))
    directory = write_counted(tmp_path_factory.mktemp("chunks"), counts)
    options = {"last_batch": last_batch, "shuffle": shuffle, "shuffle_window": window if shuffle else None}
    (loader,) = rank_loaders(directory, 1, num_streams=num_streams, batch_size=whole, num_epochs=2, **options)
    starts = dict(zip(loader._options.run.chunks.names, itertools.accumulate(counts, initial=0), strict=False))
    for step, batch in enumerate(ids_of(loader)):
        assert [starts[chunk] + row for chunk, row in loader.locate(step)] == batch


@pytest.mark.slow
@settings(max_examples=examples(40))
@given(
    counts=counts,
    num_streams=st.sampled_from([1, 4]),
    share=st.integers(1, 6),
    window=st.integers(1, 5),
    last_batch=rules,
    data=st.data(),
)
def test_skipping_is_receiving_without_reading(tmp_path_factory, counts, num_streams, share, window, last_batch, data):
    whole = share * num_streams
    assume(sum(counts) >= (whole if last_batch == "drop" else num_streams))
    directory = write_counted(tmp_path_factory.mktemp("chunks"), counts)
    options = {"last_batch": last_batch, "shuffle": True, "shuffle_window": window, "num_epochs": 3}
    options |= {"num_streams": num_streams, "batch_size": whole}
    (loader,) = rank_loaders(directory, 1, **options)
    batches = ids_of(loader)
    done = data.draw(st.integers(0, len(batches)))
    skipped = data.draw(st.integers(0, len(batches) - done))
    (skipping,) = rank_loaders(directory, 1, **options)
    assert ids_of(next(skipping) for _ in range(done)) == batches[:done]
    skipping.skip(skipped)
    assert skipping.steps_done == done + skipped
    (resumed,) = rank_loaders(directory, 1, **options)
    resumed.load_state_dict(through_json(skipping.state_dict()))
    assert ids_of(skipping) == ids_of(resumed) == batches[done + skipped :]


def test_skipping_and_locating_need_counts(tmp_path):
    loader = loader_of(write_chunks(tmp_path, COUNTS), batch_size=6)
    with pytest.raises(DataDirError, match=r"skipping steps needs.*pyloader index"):
        loader.skip(3)
    with pytest.raises(DataDirError, match=r"locating a step's samples needs.*pyloader index"):
        loader.locate(3)


def test_steps_before_the_first_cannot_be_skipped_or_located(tmp_path):
    loader = loader_of(write_counted(tmp_path, COUNTS))
    for call in (loader.skip, loader.locate):
        with pytest.raises(ValueError, match="must be at least 0"):
            call(-1)
