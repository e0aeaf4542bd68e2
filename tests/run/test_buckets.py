"""Length buckets: batches of rows of about one length, each row once, the same on any number of ranks."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ranks import through_json

from pyloader import DataLoader, DataReader, PaddingDataCollator, World
from pyloader.cli.main import main
from pyloader.errors import DataDirError, ReadFileError, StateError
from pyloader.run import making

ROWS = 330


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """Rows of unequal length, each of one number: their own."""
    root = tmp_path_factory.mktemp("lengths") / "chunks"
    root.mkdir()
    lengths = np.maximum(1, np.random.default_rng(0).lognormal(2.0, 1.0, ROWS)).astype(int).tolist()
    for chunk, first in enumerate(range(0, ROWS, 90)):
        rows = [{"tokens": [row] * lengths[row], "id": row} for row in range(first, min(first + 90, ROWS))]
        (root / f"{chunk}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["index", str(root)]) == 0
    return root


def loader_of(directory, **options):
    options = {"batch_size": 2, "shuffle": True, "bucket_by": "tokens", "max_queue_size": 80, **options}
    return DataLoader(data_dir=directory, datacollator=PaddingDataCollator(-1), **options)


def ranks_of(directory, size, share=1, **options):
    worlds = [World(rank, size, 4) for rank in range(size)]
    return [
        loader_of(directory, batch_size=4 * share // size, world=world, num_workers=0, **options) for world in worlds
    ]


def global_ids(loaders):
    for shares in zip(*loaders, strict=True):
        yield [number for share in shares for number in share["id"].tolist()]


def padding(batches):
    return sum(int((batch["tokens"] < 0).sum()) for batch in batches)


@pytest.mark.slow
def test_an_epoch_has_every_row_once_and_little_padding(directory):
    with loader_of(directory, num_epochs=2) as loader, loader_of(directory, bucket_by=None) as other:
        batches, whole = list(loader), len(loader) // 2
        assert 3 * padding(batches[:whole]) <= padding(other)
        assert "bucket_by='tokens'" in repr(loader)
    for half in (batches[:whole], batches[whole:]):
        assert sorted(np.concatenate([batch["id"] for batch in half]).tolist()) == list(range(ROWS))
    lengths = [batch["tokens"].shape[1] for batch in batches[:64]]
    assert lengths != sorted(lengths)  # steps change places
    assert [batch["id"].tolist() for batch in batches[:whole]] != [batch["id"].tolist() for batch in batches[whole:]]


def test_without_shuffling_the_steps_of_a_run_stay_in_the_order_of_their_lengths(directory):
    with loader_of(directory, shuffle=False) as loader:
        batches = list(loader)
    lengths = [batch["tokens"].shape[1] for batch in batches]
    assert lengths[:64] == sorted(lengths[:64]) and lengths[64:128] == sorted(lengths[64:128])
    assert sorted(np.concatenate([batch["id"] for batch in batches[:64]]).tolist()) == list(range(128))


@pytest.mark.slow
@settings(max_examples=6, deadline=None)
@given(
    st.sampled_from(["drop", "pad", "wrap"]), st.sampled_from([1, 2, 4]), st.integers(1, 4), st.booleans(), st.data()
)
def test_the_batches_and_states_are_the_same_on_any_number_of_ranks(directory, last_batch, size, window, shuffle, data):
    options = {"last_batch": last_batch, "num_epochs": 2, "shuffle": shuffle}
    options |= {"shuffle_window": window if shuffle else None, "share": data.draw(st.sampled_from([1, 3]))}
    whole = list(global_ids(ranks_of(directory, 1, **options)))
    first = ranks_of(directory, size, **options)
    steps = data.draw(
        st.integers(0, len(whole) - 1) | st.sampled_from([63, 64, 65, 81, 82, 83]).filter(len(whole).__gt__)
    )
    batches = global_ids(first)
    begun = [next(batches) for _ in range(steps)]
    states = [through_json(loader.state_dict()) for loader in first]
    assert all(state == states[0] for state in states) and len(json.dumps(states[0])) < 2048
    others = ranks_of(directory, 4 // size, **options)
    for loader in others:
        loader.load_state_dict(states[0])
    assert begun + list(global_ids(others)) == whole
    for step in (steps, len(whole) // 2 - 1):
        assert [90 * int(name[0]) + row for name, row in others[0].locate(step)] == whole[step]


@pytest.mark.slow
@pytest.mark.parametrize("last_batch", ["keep", "pad"])
def test_one_stream_resumes_at_every_step_and_is_located(directory, last_batch, tmp_path, capsys):
    with loader_of(directory, last_batch=last_batch, num_workers=0, batch_size=4) as loader:
        states, ids = [through_json(loader.state_dict())], []
        for batch in loader:
            ids.append(batch["id"].tolist())
            states.append(through_json(loader.state_dict()))
    for step in (0, 1, 30, 63, 64, 65, len(ids) - 1, len(ids)):
        with loader_of(directory, last_batch=last_batch, num_workers=2, batch_size=4) as loader:
            loader.load_state_dict(states[step])
            assert [batch["id"].tolist() for batch in loader] == ids[step:]
    (tmp_path / "state.json").write_text(json.dumps(states[70]))
    assert main(["locate", str(tmp_path / "state.json"), str(directory), "--json"]) == 0
    samples = json.loads(capsys.readouterr().out)["samples"]
    assert [90 * int(each["chunk"][0]) + each["row"] for each in samples] == ids[70]


def test_receipts_prove_sorted_rows_and_name_what_did_not_come(directory, tmp_path, monkeypatch, capsys):
    with loader_of(directory, audit_dir=tmp_path / "good", num_epochs=2, last_batch="drop") as loader:
        for _ in range(200):
            next(loader)
    assert main(["audit", str(tmp_path / "good"), str(directory)]) == 0
    right = making.digest_batches

    def one_twice(numbers, size):
        return right(np.where(numbers == numbers[1], numbers[0], numbers), size)

    monkeypatch.setattr(making, "digest_batches", one_twice)
    with loader_of(directory, audit_dir=tmp_path / "bad") as loader:
        next(loader)
        (twice, at), (name, row) = loader.locate(0)
    assert main(["audit", str(tmp_path / "bad"), str(directory)]) == 1
    assert f"{name} row {row} did not come, {twice} row {at} came twice" in capsys.readouterr().out


@pytest.mark.parametrize("options", [{"num_workers": 3, "num_readers": 2}, {"max_bytes": "40MB"}])
def test_workers_change_nothing(directory, options):
    with loader_of(directory, num_workers=0) as loader, loader_of(directory, **options) as other:
        for batch, same in zip(loader, other, strict=True):
            assert all(np.array_equal(batch[name], same[name]) for name in batch)


def test_runs_count_in_the_queue(directory):
    with loader_of(directory, num_epochs=3, max_queue_size=8) as loader:
        assert sum(len(batch["id"]) for batch in loader) == 3 * ROWS
        assert 3 < loader.stats().resident_peak <= 8


def test_a_column_of_lengths_or_of_text_is_sorted_by_too(directory):
    with loader_of(directory, bucket_by="id", shuffle=False) as loader:
        assert [batch["id"].tolist() for batch in loader] == [[row, row + 1] for row in range(0, ROWS, 2)]


def test_what_cannot_be_sorted_says_so(directory, tmp_path):
    for options, says in (
        ({"pack": 8}, "packed rows have one length"),
        ({"max_queue_size": 6}, r"sorts 64 steps of 2 rows.*Write max_queue_size=8"),
    ):
        with pytest.raises(ValueError, match=says):
            loader_of(directory, **options)
    with (
        loader_of(directory, bucket_by="text") as loader,
        pytest.raises(ReadFileError, match="no column 'text' to sort"),
    ):
        next(loader)
    with pytest.raises(TypeError, match="bucket_by must be the name of a column"):
        loader_of(directory, bucket_by=64)
    (tmp_path / "0.jsonl").write_text('{"tokens": [1]}\n')
    with pytest.raises(DataDirError, match="pyloader index"):
        loader_of(tmp_path)


def test_a_column_without_lengths_is_an_error(tmp_path):
    class Numbers(DataReader):
        def read_file(self, path):
            return {"x": [1.5, 2.5]}, 2

    (tmp_path / "0.jsonl").write_text('{"x": 1.5}\n{"x": 2.5}\n')
    assert main(["index", str(tmp_path)]) == 0
    loader = DataLoader(Numbers(), data_dir=tmp_path, bucket_by="x", batch_size=1, max_queue_size=200)
    with loader, pytest.raises(ReadFileError, match="'x' whose rows are not of different lengths"):
        next(loader)


def test_a_state_of_other_buckets_says_what_to_write(directory):
    with loader_of(directory) as loader:
        next(loader)
        state = loader.state_dict()
    with loader_of(directory, bucket_by=None) as other, pytest.raises(StateError, match="bucket_by='tokens'"):
        other.load_state_dict(state)
    with loader_of(directory, bucket_by=None) as other:
        state = other.state_dict()
    with loader_of(directory) as loader, pytest.raises(StateError, match=r"Make it DataLoader\(..., bucket_by=None\)"):
        loader.load_state_dict(state)
