"""`batch_encode(columns, keys)`: a sample is augmented in the same way wherever, and in whatever batch, it comes."""

from __future__ import annotations

from functools import partial
from itertools import islice

import numpy as np
import pytest
from numbered import NumberedReader, write_chunks
from ranks import rank_loaders, through_json, write_counted

from pyloader import DataLoader, Dataset
from pyloader.plan import STAND_IN, row_keys, sample_numbers
from pyloader.testing import check_loader, order, resuming

COUNTS = [30, 17, 44, 0, 23, 8, 60]


class Keyed(Dataset):
    def batch_encode(self, columns, keys):
        assert keys.dtype == np.uint64
        assert keys.shape == (len(columns["id"]),)
        return {**columns, "key": keys}


class FailsOnce(Keyed):
    """Cannot encode one sample."""

    def __init__(self, bad):
        self.bad = bad

    def batch_encode(self, columns, keys):
        if self.bad in columns["id"]:
            raise ValueError("cannot be encoded")
        return super().batch_encode(columns, keys)


def pairs(batch):
    """Return each row's sample and key."""
    return list(zip(batch["id"].tolist(), batch["key"].tolist(), strict=True))


def keyed(directory, *, dataset=None, **options):
    options = {"batch_size": 16, "shuffle": True, "seed": 5, "num_epochs": 2, **options}
    return DataLoader(NumberedReader(), dataset or Keyed(), data_dir=directory, **options)


def planned_keys(*, seed, epoch):
    """Return the key of each sample of the chunks, by their order on disk."""
    numbers = [sample_numbers(chunk, np.arange(count)) for chunk, count in enumerate(COUNTS)]
    return row_keys(np.concatenate(numbers), seed=seed, epoch=epoch).tolist()


WORKERS = pytest.mark.parametrize(
    "workers",
    [
        {"num_workers": 0},
        {"num_workers": 2, "num_readers": 2},
        {"num_workers": 1, "worker_kind": "process"},
        {"num_workers": 0, "copy": False, "shuffle": False},
        {"num_workers": 0, "audit_dir": "receipts"},
        {"num_workers": 0, "max_skipped": 3},
    ],
    ids=str,
)


@pytest.mark.slow
@WORKERS
@pytest.mark.parametrize("counted", [False, True])
def test_a_key_is_a_function_of_seed_epoch_and_sample(tmp_path, workers, counted):
    if "worker_kind" in workers:
        pytest.importorskip("cloudpickle")
    if "audit_dir" in workers:
        if not counted:
            pytest.skip("an audit needs counts")
        workers = {**workers, "audit_dir": tmp_path / "receipts"}
    directory = (write_counted if counted else write_chunks)(tmp_path / "chunks", COUNTS)
    with keyed(directory, **workers) as loader:
        for epoch in range(2):
            steps = loader.steps_per_epoch or 12
            found = {pair for batch in islice(loader, steps) for pair in pairs(batch)}
            assert found == set(enumerate(planned_keys(seed=5, epoch=epoch)))


@pytest.mark.slow
def test_going_from_two_ranks_to_one_changes_no_key(tmp_path):
    directory = write_counted(tmp_path, COUNTS)
    options = {"dataset": Keyed(), "shuffle": True, "last_batch": "wrap", "num_epochs": 3, "num_streams": 2}
    two = rank_loaders(directory, 2, batch_size=8, **options)
    steps = [[pair for batch in met for pair in pairs(batch)] for met in zip(*two, strict=True)]
    for step in (0, 5, 23, 30):
        ranks = rank_loaders(directory, 2, batch_size=8, **options)
        for _ in range(step):
            *_, state = [next(loader) and loader.state_dict() for loader in ranks]
        (one,) = rank_loaders(directory, 1, batch_size=16, **options)
        if step:
            one.load_state_dict(through_json(state))
        assert [pairs(batch) for batch in one] == steps[step:]


@pytest.mark.slow
def test_a_run_that_resumes_has_the_keys_of_the_unbroken_one(tmp_path):
    directory = write_chunks(tmp_path, COUNTS)
    wanted = [pairs(batch) for batch in keyed(directory)]
    for step in range(0, len(wanted), 5):
        with keyed(directory) as loader:
            for _ in range(step):
                next(loader)
            state = through_json(loader.state_dict())
        with keyed(directory) as loader:
            loader.load_state_dict(state)
            assert [pairs(batch) for batch in loader] == wanted[step:]


def test_keys_are_given_beside_rng_and_whatever_their_order(tmp_path):
    class Both(Dataset):
        def batch_encode(self, columns, keys, rng):
            return {**columns, "key": keys, "noise": rng.integers(10**9, size=len(keys))}

    class Noise(Dataset):
        def batch_encode(self, columns, rng):
            return {**columns, "noise": rng.integers(10**9, size=len(columns["id"]))}

    directory = write_chunks(tmp_path, COUNTS)
    both = list(keyed(directory, dataset=Both()))
    assert [pairs(batch) for batch in both] == [pairs(batch) for batch in keyed(directory)]
    noise = keyed(directory, dataset=Noise())
    assert [batch["noise"].tolist() for batch in both] == [batch["noise"].tolist() for batch in noise]


def test_a_row_that_fills_up_has_another_key_than_the_row_that_it_repeats(tmp_path):
    directory = write_counted(tmp_path, COUNTS)
    num_filled = -sum(COUNTS) % 16
    for last_batch in ("wrap", "pad"):
        *_, last = keyed(directory, last_batch=last_batch, num_epochs=1)
        filled = pairs(last)[-num_filled:]
        planned = planned_keys(seed=5, epoch=0)
        for sample, key in filled:
            chunk = int(np.searchsorted(np.cumsum(COUNTS), sample, "right"))
            row = sample - sum(COUNTS[:chunk])
            marked = sample_numbers(chunk, np.array([row])) | STAND_IN
            assert [key] == row_keys(marked, seed=5, epoch=0).tolist() != [planned[sample]]


def test_a_row_that_stands_in_has_the_key_of_the_one_that_is_left_out(tmp_path):
    directory = write_counted(tmp_path, COUNTS)
    wanted = [batch["key"].tolist() for batch in keyed(directory)]

    class Cut(NumberedReader):
        def read_file(self, path):
            if path.endswith("0001.numbered"):
                raise OSError("cannot be read")
            return super().read_file(path)

    options = {"batch_size": 16, "shuffle": True, "seed": 5, "num_epochs": 2, "data_dir": directory}
    with DataLoader(Cut(), Keyed(), max_skipped=1, **options) as loader:
        assert [batch["key"].tolist() for batch in loader] == wanted
    with keyed(directory, dataset=FailsOnce(33), max_skipped=1) as loader:
        found = list(loader)
        assert [batch["key"].tolist() for batch in found] == wanted
        assert not any(33 in batch["id"] for batch in found)


def test_a_stand_in_that_cannot_be_encoded_is_not_counted_again(tmp_path):
    """The row that it repeats is left out at its own place, and counted there."""
    directory = write_counted(tmp_path, [8, 8])

    class Cut(NumberedReader):
        def read_file(self, path):
            if path.endswith("0000.numbered"):
                raise OSError("cannot be read")
            return super().read_file(path)

    options = {"batch_size": 4, "max_skipped": 1, "data_dir": directory}
    with DataLoader(Cut(), FailsOnce(11), **options) as loader:
        assert [pair[0] for batch in loader for pair in pairs(batch)] == [8, 9, 10, 8, 12, 13, 14, 15] * 2
        (chunk, row) = loader.stats().skipped
        assert chunk.endswith("0000.numbered")
        assert row.endswith("0001.numbered, row 3")


def test_rows_carry_no_numbers_unless_keys_are_asked_for(tmp_path):
    class Plain(Dataset):
        def batch_encode(self, columns):
            return columns

    for dataset in (Keyed(), Plain()):
        with keyed(write_chunks(tmp_path, COUNTS), dataset=dataset) as loader:
            next(loader)
            assert (loader._run._group.samples is not None) == isinstance(dataset, Keyed)


@pytest.mark.slow
def test_check_loader_gives_keys_to_a_dataset_that_takes_them(tmp_path):
    directory = write_counted(tmp_path, COUNTS)
    make_loader = partial(DataLoader, NumberedReader(), Keyed(), None, directory, batch_size=8, last_batch="drop")
    checks = [order.check_parts, order.check_exactly_once, order.check_same_batches, resuming.check_ranks]
    assert set(check_loader(make_loader, checks=checks).values()) == {"kept"}
