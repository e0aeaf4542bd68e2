"""What a subclass of a dataset overrides counts wherever items are read, for every dataset there is."""

from __future__ import annotations

import pickle
import sqlite3

import numpy as np
import pytest

from pyloader import ChunkWriter, indexed
from pyloader.indexed import DataLoader, Dataset, InMemoryDataset, NPDataset, RangeDataset, converter

NUMBERS = np.arange(6)


def numbers():
    return InMemoryDataset(NUMBERS)


def np_file(kind, place):
    np.save(place / "x.npy", NUMBERS)
    return kind(place / "x.npy")


def records(kind, place):
    pytest.importorskip("array_record")
    converter(NUMBERS, place / "records", progress=False)
    return kind(place / "records")


def parquet(kind, place):
    pyarrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet").write_table(pyarrow.table({"x": NUMBERS}), place / "x.parquet")
    return kind(place / "x.parquet")


def chunks(kind, place):
    with ChunkWriter(place / "chunks") as writer:
        for number in NUMBERS.tolist():
            writer.write({"x": number})
    return kind(place / "chunks")


def hugging_face(kind, place):
    return kind(pytest.importorskip("datasets").Dataset.from_dict({"x": NUMBERS}))


def frame(kind, place):
    return kind(pytest.importorskip("polars").DataFrame({"x": NUMBERS}))


def database(kind, place):
    with sqlite3.connect(place / "x.db") as connection:
        connection.execute("CREATE TABLE numbers (x INTEGER)")
        connection.executemany("INSERT INTO numbers VALUES (?)", [(number,) for number in NUMBERS.tolist()])
    connection.close()
    return kind(place / "x.db", "numbers")


MADE = {
    "ARDataset": records,
    "CachedDataset": lambda kind, place: kind(numbers()),
    "ChunkedDataset": chunks,
    "CombinedDataset": lambda kind, place: kind(numbers(), numbers()),
    "FilteredDataset": lambda kind, place: kind(numbers(), lambda number: number > 1),
    "HuggingFaceDataset": hugging_face,
    "InMemoryDataset": lambda kind, place: kind(NUMBERS.tolist()),
    "MappedBatchDataset": lambda kind, place: kind(numbers(), sum, batch_size=2),
    "MappedDataset": lambda kind, place: kind(numbers(), str),
    "MixedDataset": lambda kind, place: kind([numbers(), numbers()], [1, 1]),
    "NPDataset": np_file,
    "NamedStreams": lambda kind, place: kind({"x": numbers()}),
    "ParquetDataset": parquet,
    "PartialDataset": lambda kind, place: kind(numbers(), 1, 5),
    "PolarsDataset": frame,
    "RangeDataset": lambda kind, place: kind(6),
    "RepeatedDataset": lambda kind, place: kind(numbers(), 2),
    "SQLiteDataset": database,
    "SampledDatasetWithReplacement": lambda kind, place: kind(numbers(), 4),
    "SampledDatasetWithoutReplacement": lambda kind, place: kind(numbers(), 4),
    "ShardedDataset": lambda kind, place: kind(numbers(), 2, 1),
    "ShuffledDataset": lambda kind, place: kind(numbers()),
    "ZippedDataset": lambda kind, place: kind(numbers(), numbers()),
}


def overriding(name, road):
    """Return a subclass of a dataset whose items are what they were, within a tuple."""
    kind = getattr(indexed, name)

    def of_one(self, index):
        return "changed", getattr(super(changed, self), road)(index)

    def of_several(self, indices):
        return [("changed", row) for row in listed(getattr(super(changed, self), road)(indices))]

    override = of_several if road in ("take", "__getitems__") else of_one
    changed = type(f"Changed{name}", (kind,), {road: override})
    return changed


def listed(rows):
    if isinstance(rows, dict):
        return [dict(zip(rows, row, strict=True)) for row in zip(*rows.values(), strict=True)]
    return list(rows)


def test_every_dataset_is_tried():
    kinds = [getattr(indexed, name) for name in indexed.__all__]
    found = {kind.__name__ for kind in kinds if isinstance(kind, type) and issubclass(kind, Dataset)}
    assert found - {"Dataset"} == MADE.keys()


@pytest.mark.slow
@pytest.mark.parametrize("road", ["__getitem__", "__getitems__", "get", "take"])
@pytest.mark.parametrize("name", MADE)
def test_what_a_subclass_overrides_counts_wherever_items_are_read(tmp_path, name, road):
    with MADE[name](overriding(name, road), tmp_path) as dataset:
        expected = [("changed", row) for row in super(type(dataset), dataset).__getitems__(range(len(dataset)))]
        assert len(expected) == len(dataset) > 1
        last = len(dataset) - 1
        assert list(dataset) == expected
        assert [dataset[index] for index in (0, -1)] == [expected[0], expected[-1]]
        assert dataset.get(last) == expected[last]
        assert dataset.take([last, 0, -1]) == [expected[last], expected[0], expected[last]]
        assert dataset.__getitems__([last, 0]) == [expected[last], expected[0]]
        assert list(dataset.map(lambda item: item)) == expected
        assert list(dataset.slice(1, 2)) == expected[1:2]
        with DataLoader(dataset, batch_size=last + 1, shuffle=False, transform=list, num_workers=0) as loader:
            assert next(loader) == expected


class Scaled(NPDataset):
    def __getitem__(self, index):
        return super().__getitem__(index) * np.float32(100)


@pytest.mark.slow
def test_the_batches_of_an_override_are_arrays_again(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(4, dtype=np.float32))
    with DataLoader(Scaled(tmp_path / "x.npy"), batch_size=4, shuffle=False) as loader:
        batch = next(loader)
    assert batch.dtype == np.float32
    assert batch.tolist() == [0, 100, 200, 300]


@pytest.mark.slow
def test_an_override_counts_in_worker_processes(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(4.0))
    dataset = Scaled(tmp_path / "x.npy")
    assert list(pickle.loads(pickle.dumps(dataset))) == [0, 100, 200, 300]

    class Local(Scaled):
        def __getitem__(self, index):
            return super().__getitem__(index) + 1

    options = {"batch_size": 4, "shuffle": False, "num_workers": 1, "worker_kind": "process"}
    with DataLoader(Local(tmp_path / "x.npy"), **options) as loader:
        assert next(loader).tolist() == [1, 101, 201, 301]


def test_the_most_derived_override_wins(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(3.0))

    class Taken(Scaled):
        def take(self, indices):
            return np.asarray(super().take(indices)) + 1

    class Got(Taken):
        def get(self, index):
            return -super().get(index)

    taken, got = Taken(tmp_path / "x.npy"), Got(tmp_path / "x.npy")
    assert list(taken) == [1, 101, 201]
    assert taken[1] == 101
    assert taken.take([1]).tolist() == [101]
    assert list(got) == [-1, -101, -201]
    assert got[2] == -201


def test_a_class_beside_the_dataset_may_override_too():
    class Doubling:
        def __getitem__(self, index):
            return super().__getitem__(index) * 2

    class Doubled(Doubling, RangeDataset):
        pass

    assert list(Doubled(3)) == [0, 2, 4]
    assert list(Doubled(3).shuffle(1).map(str)) != list(RangeDataset(3).shuffle(1).map(str))


@pytest.mark.parametrize("name", MADE)
def test_take_takes_what_people_give_it(tmp_path, name):
    with MADE[name](getattr(indexed, name), tmp_path) as dataset:
        every = list(dataset)
        mask = [index % 2 == 0 for index in range(len(dataset))]
        for indices in ([0, -1], (0, -1), np.array([0, -1], np.int32), [np.int64(0), np.uint8(len(dataset) - 1)]):
            assert listed(dataset.take(indices)) == [every[0], every[-1]]
        assert listed(dataset.take(range(len(dataset)))) == every
        assert listed(dataset.take(mask)) == every[::2]
        assert listed(dataset.take([])) == []
        for outside in ([len(dataset)], np.array([-len(dataset) - 1])):
            with pytest.raises(IndexError, match=rf"is outside of {type(dataset).__name__}, which has \d+ items"):
                dataset.take(outside)


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        (1, r"take needs several indices, a list or an array of them, not 1; RangeDataset\[i\] is one item"),
        ([0.5], "is indexed by integers, slices, and lists of integers, not an array of float64"),
        ([[0]], r"not an array of int64, shape \[1, 1\]"),
        ([True, False], "a mask needs a bool for each of the 5 items of RangeDataset, and has 2"),
        ("0", "not '0'"),
    ],
)
def test_what_take_cannot_take_is_a_type_error_that_says_so(indices, message):
    with pytest.raises(TypeError, match=message):
        RangeDataset(5).take(indices)


def test_arguments_may_be_named_and_a_take_may_have_more_of_them():
    class Factored(RangeDataset):
        def take(self, indices, factor=1):
            return [number * factor for number in super().take(indices=indices)]

    dataset = Factored(5)
    assert dataset.take([1, 2], factor=10) == [10, 20]
    assert (dataset.get(index=-1), dataset.__getitems__(indices=[3])) == (4, [3])


def test_a_take_of_ones_own_gets_checked_indices_from_the_start():
    class Own(Dataset[int]):
        def __len__(self):
            return 4

        def take(self, indices):
            assert indices.dtype == np.int64
            return indices * 10

    assert Own().take([-1, 0]).tolist() == [30, 0]
    with pytest.raises(IndexError, match="index 4 is outside of Own, which has 4 items"):
        Own().take([4])


@pytest.mark.parametrize("name", MADE)
def test_every_dataset_is_shown_with_what_it_is_made_of(tmp_path, name):
    calls = []
    with MADE[name](getattr(indexed, name), tmp_path) as dataset:
        if name == "FilteredDataset":
            dataset = dataset.dataset.filter(calls.append)
        shown = repr(dataset)
    assert shown.startswith(f"{name}(")
    assert " object at 0x" not in shown
    assert calls == []  # showing a filter does not run it


def test_a_chain_is_shown_without_reading_it():
    chain = RangeDataset(5).filter(lambda number: 1 / 0).map(abs).map_batch(len, batch_size=2)
    assert (
        repr(chain)
        == "MappedBatchDataset(MappedDataset(FilteredDataset(RangeDataset(0, 5, 1)), abs), len, batch_size=2)"
    )
    mixed = RangeDataset(5).mix(RangeDataset(3), weights=[1, 1]).concatenate(RangeDataset(2).cache())
    assert repr(mixed) == (
        "CombinedDataset(MixedDataset(RangeDataset(0, 5, 1), RangeDataset(0, 3, 1), 7 items), "
        "CachedDataset(RangeDataset(0, 2, 1)), 9 items)"
    )
