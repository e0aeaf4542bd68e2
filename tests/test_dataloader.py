"""The DataLoader as its users meet it: arguments, iteration, counts, and what it says when it is misused."""

from __future__ import annotations

import inspect
import json
import re
from itertools import islice

import numpy as np
import pytest
from numbered import NumberedReader, ids_of, loader_of, write_chunks

from pyloader import DataCollator, DataLoader, Dataset, NumpyDataCollator
from pyloader.errors import ClosedError, DataDirError
from pyloader.files import ChunkEntry, Manifest, write_manifest

COUNTS = [10, 5, 9]


@pytest.fixture
def directory(tmp_path):
    return write_chunks(tmp_path / "chunks", COUNTS)


@pytest.fixture
def counted(directory):
    chunks = tuple(
        ChunkEntry(file=path.name, num_samples=count, num_bytes=path.stat().st_size)
        for path, count in zip(sorted(directory.iterdir()), COUNTS, strict=True)
    )
    write_manifest(directory / "manifest.json", Manifest(columns=(), reader="numbered", chunks=chunks))
    return directory


# Arguments


def test_the_positional_order_is_the_documented_one():
    names = list(inspect.signature(DataLoader).parameters)[:8]
    assert names == [
        "datareader",
        "dataset",
        "datacollator",
        "data_dir",
        "num_epochs",
        "max_queue_size",
        "shuffle",
        "seed",
    ]


def test_the_numbers_in_the_docstring_are_those_of_the_signature():
    defaults = {name: value.default for name, value in inspect.signature(DataLoader).parameters.items()}
    assert (defaults["max_queue_size"], defaults["num_workers"], defaults["num_readers"]) == (10, "auto", "auto")
    documented = " ".join((DataLoader.__doc__ or "").split())
    assert "None takes the reader's, 16 unless given" in documented and NumberedReader().batch_size == 16
    assert "None takes the reader's, 42 unless given" in documented and NumberedReader().seed == 42


def test_old_spellings_are_the_same(directory):
    old = DataLoader(
        NumberedReader(batch_size=4, shuffle=True, random_seed=5),
        None,
        NumpyDataCollator(),
        root_dir=directory,
        num_epoch=2,
    )
    new = loader_of(directory, batch_size=4, num_epochs=2)
    assert len(ids_of(old)) == len(ids_of(new)) == 12
    assert "num_epochs=2" in repr(old)
    assert "seed=5" in repr(old)


def test_the_readers_options_are_defaults_for_the_loaders(directory):
    reader = NumberedReader(batch_size=7, seed=3)
    assert re.search(r"seed=3.*batch_size=7", repr(DataLoader(reader, data_dir=directory)))
    assert re.search(r"seed=4.*batch_size=2", repr(DataLoader(reader, data_dir=directory, seed=4, batch_size=2)))


@pytest.mark.parametrize(
    ("option", "advice"),
    [
        ("drop_last", r'no option .drop_last.\. Write last_batch="drop"'),
        ("collate_fn", "Subclass DataCollator"),
        ("num_worker", "Did you mean 'num_workers'"),
        ("sampler", "function of seed"),
        ("num_replicas", r"Write world=\(rank, size\)"),
    ],
)
def test_options_from_elsewhere_are_told_what_to_write(directory, option, advice):
    with pytest.raises(TypeError, match=advice):
        loader_of(directory, **{option: True})


class TorchLike:
    """Stands for a torch Dataset."""


TorchLike.__module__ = "torch.utils.data.dataset"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("chunks/",), r"got the str 'chunks/'. To let the suffix choose: DataLoader\(data_dir='chunks/'\)"),
        ((NumberedReader,), r"got the class NumberedReader. Make one: NumberedReader\(\)"),
        (
            (NumberedReader(), TorchLike()),
            r"PyTorch's random-access dataset: pyloader.indexed.DataLoader takes it. Ours has batch_encode\(columns\)",
        ),
        ((NumberedReader(), None, lambda columns: columns), r"Ours has collate_batch\(columns\)"),
        (
            (NumberedReader(), NumpyDataCollator()),
            r"dataset must be a pyloader.dataset.Dataset, got a pyloader.collate",
        ),
    ],
)
def test_arguments_of_the_wrong_kind_are_told_what_ours_is(directory, arguments, message):
    with pytest.raises(TypeError, match=message):
        DataLoader(*arguments, data_dir=directory)


def test_data_dir_is_needed():
    with pytest.raises(TypeError, match="DataLoader needs data_dir="):
        DataLoader(NumberedReader())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"num_epochs": 0}, "num_epochs must be at least 1"),
        ({"max_queue_size": 0}, "max_queue_size must be at least 1"),
        ({"num_workers": -1}, "num_workers must be at least 0"),
        ({"num_readers": -1}, "num_readers must be at least 0"),
        ({"num_readers": 0}, "needs num_workers=0"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"last_batch": "throw"}, 'must be "keep", "drop", "pad" or "wrap", not \'throw\''),
        ({"shuffle_window": 3}, "shuffle_window=3 needs shuffle=True"),
        ({"max_skipped": "5"}, "a share of them such as \"1%\", not '5'"),
        ({"max_skipped": "200%"}, "max_skipped must be"),
        ({"stall_timeout_seconds": 0}, "stall_timeout_seconds must be a number of seconds above 0"),
    ],
)
def test_numbers_out_of_range_are_refused(directory, options, message):
    with pytest.raises(ValueError, match=message):
        loader_of(directory, **options)


@pytest.mark.parametrize("option", ["batch_size", "seed", "num_epochs", "max_queue_size"])
def test_what_is_no_integer_is_refused(directory, option):
    with pytest.raises(TypeError, match=f"{option} must be an integer, got 1.5"):
        loader_of(directory, **{option: 1.5})


def test_numpy_integers_are_integers(directory):
    assert len(ids_of(loader_of(directory, batch_size=np.int32(4), seed=np.uint8(1)))) == 6


def test_a_subclass_that_forgets_super_init_works(directory):
    class Forgetful(NumberedReader):
        def __init__(self):
            self.text = False

    assert len(ids_of(DataLoader(Forgetful(), data_dir=directory))) == 2


def test_parts_that_have_a_length_of_0_are_used(directory):
    class Empty:
        def __len__(self):
            return 0

    class Reader(Empty, NumberedReader):
        pass

    class Collator(Empty, DataCollator):
        def collate_batch(self, columns):
            return len(columns["id"])

    assert list(DataLoader(Reader(), None, Collator(), directory)) == [16, 8]


def test_an_empty_directory_is_an_error_at_once(tmp_path):
    with pytest.raises(DataDirError, match="holds no chunk files"):
        loader_of(tmp_path)


# Iteration


def test_encode_and_collate_are_called_with_one_batch_each(directory):
    class Doubling(Dataset):
        def batch_encode(self, columns):
            return {"twice": [2 * int(number) for number in columns["id"]]}

    class Summing(DataCollator):
        def collate_batch(self, columns):
            return sum(columns["twice"]), len(columns["twice"])

    with DataLoader(NumberedReader(), Doubling(), Summing(), directory, batch_size=10) as loader:
        assert list(loader) == [(90, 10), (290, 10), (172, 4)]


def test_next_and_get_batch_are_the_same(directory):
    with loader_of(directory, batch_size=10) as loader:
        assert ids_of([next(loader), loader.get_batch()]) == [list(range(10)), list(range(10, 20))]


def test_a_for_that_has_ended_ends_again_until_a_new_one_begins(directory):
    loader = loader_of(directory, batch_size=10)
    assert len(list(loader)) == 3
    with pytest.raises(StopIteration):
        next(loader)
    assert len(list(loader)) == 3


def test_epochs_and_steps_are_counted_as_they_are_received(directory):
    loader = loader_of(directory, batch_size=10, num_epochs=2)
    seen = [(loader.get_epoch(), loader.epochs_done, loader.steps_done) for _ in loader]
    assert seen == [(0, 0, 1), (0, 0, 2), (0, 1, 3), (1, 1, 4), (1, 1, 5), (1, 1, 6)]
    assert (loader.epochs_done, loader.steps_done) == (2, 6)


def test_an_endless_loader_goes_on(directory):
    with loader_of(directory, batch_size=10, num_epochs=None, shuffle=True) as loader:
        for _ in range(20):
            next(loader)
        assert loader.epochs_done == 6
        with pytest.raises(TypeError, match="endless"):
            len(loader)


def test_peek_uses_nothing_up(directory):
    with loader_of(directory, batch_size=10) as loader:
        first = loader.peek()
        assert ids_of([first, loader.peek()]) == [list(range(10))] * 2
        assert (loader.steps_done, loader.state_dict()["step"]) == (0, 0)
        assert len(ids_of(loader)) == 3
        assert loader.stats().num_steps == 3


def test_peek_at_a_runs_end_shows_the_next_run_and_the_end_still_comes(directory):
    with loader_of(directory, batch_size=10, shuffle=True) as loader:
        for _ in range(3):
            next(loader)
        peeked = ids_of([loader.peek()])
        assert loader.steps_done == 3
        assert list(loader) == []
        assert ids_of(loader)[:1] == peeked


def test_reset_starts_over_in_the_first_epochs_order(directory):
    with loader_of(directory, batch_size=4, shuffle=True) as loader:
        first = ids_of(loader)
        next(iter(loader))
        loader.reset()
        assert ids_of(loader) == first


def test_a_for_that_counted_its_batches_has_come_to_its_end(counted):
    """As Lightning's and Hugging Face's loops do: they take len(loader) batches, and no more."""
    with loader_of(counted, batch_size=10, shuffle=True) as loader:
        taken = [ids_of(islice(loader, len(loader))) for _ in range(3)]
    assert sum(map(len, taken)) == 9
    assert [ids for epoch in taken for ids in epoch] == ids_of(
        loader_of(counted, batch_size=10, shuffle=True, num_epochs=3)
    )


def test_zip_and_enumerate_work(directory):
    with loader_of(directory, batch_size=10) as loader:
        assert [step for step, _ in zip(range(2), loader, strict=False)] == [0, 1]


# Counts


def test_len_needs_counts_and_says_how_to_get_them(directory):
    loader = loader_of(directory)
    assert loader.steps_per_epoch is None
    assert bool(loader)
    with pytest.raises(TypeError, match="count them once with: pyloader index"):
        len(loader)


@pytest.mark.parametrize(("last_batch", "steps"), [("keep", 3), ("drop", 2), ("pad", 3), ("wrap", 3)])
def test_len_is_the_number_of_batches(counted, last_batch, steps):
    loader = loader_of(counted, batch_size=10, last_batch=last_batch, num_epochs=2)
    assert loader.steps_per_epoch == steps
    assert len(loader) == len(list(loader)) == 2 * steps


def test_a_chunk_with_another_count_than_the_manifests_is_an_error(counted):
    class Filtering(NumberedReader):
        def read_file(self, path):
            columns, count = super().read_file(path)
            return {name: values[1:] for name, values in columns.items()}, count - 1

    message = r"Filtering.read_file returned 9 samples; the manifest says 10.*count with it"
    with DataLoader(Filtering(), data_dir=counted) as loader, pytest.raises(Exception, match=message):
        list(loader)


def test_a_share_of_chunks_may_be_skipped(tmp_path):
    directory = write_chunks(tmp_path, [4] * 200)
    for path in list(directory.iterdir())[:2]:
        path.write_text("damaged")
    with loader_of(directory, max_skipped="1%") as loader:
        assert sum(len(batch) for batch in ids_of(loader)) == 4 * 198


def test_a_batch_that_was_peeked_is_not_had_after_close(directory):
    loader = loader_of(directory)
    loader.peek()
    loader.close()
    with pytest.raises(ClosedError):
        next(loader)


def test_stats_are_numbers_and_a_text(directory, tmp_path):
    with loader_of(directory, batch_size=10, last_batch="drop", shuffle=True) as loader:
        list(loader)
        stats = loader.stats()
    assert (stats.num_steps, stats.num_samples, stats.dropped) == (2, 20, 4)
    assert stats.wait_seconds <= stats.loop_seconds
    assert 1 <= stats.mixing <= 3
    assert "2 steps, 20 samples" in str(stats)
    assert "4 dropped" in str(stats)
    stats.save(tmp_path / "run.json")
    assert json.loads((tmp_path / "run.json").read_text()) == stats.as_dict()


def test_stats_of_an_unused_loader_can_be_shown(directory):
    assert "0 steps, 0 samples" in str(loader_of(directory).stats())


def test_progress_shows_nothing_of_a_run_of_less_than_a_minute_in_a_log(directory, capfd):
    with loader_of(directory, batch_size=10, progress=True) as loader:
        assert len(ids_of(loader)) == 3
    assert capfd.readouterr().err == ""
