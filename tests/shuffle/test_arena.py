"""The arena: rows of several chunks in one array, and nobody's rows are ever written over."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import numpy as np
import pytest

from pyloader import DataLoader, NumpyReader
from pyloader.cli.main import main
from pyloader.machine.memory import RecycledMemory
from pyloader.run import reading
from pyloader.shuffle import Arena
from pyloader.shuffle import arena as arena_module

FLOATS = np.dtype(np.float32)


def write_arrays(directory: Path, counts: list[int]) -> Path:
    """Write .columns chunks of numbered rows, and their manifest."""
    start = 0
    for index, count in enumerate(counts):
        chunk = directory / f"chunk-{index:02d}.columns"
        chunk.mkdir(parents=True)
        ids = np.arange(start, start + count)
        np.save(chunk / "id.npy", ids)
        np.save(chunk / "minus.npy", -ids)
        np.save(chunk / "row.npy", np.stack([ids, -ids], axis=1).astype(np.float32))
        start += count
    assert main(["index", str(directory), "-q"]) == 0
    return directory


def rows_of(reader: NumpyReader, directory: Path, **options) -> list[list[int]]:
    options = {"shuffle": True, "shuffle_window": 3, "batch_size": 7, "num_epochs": 2, **options}
    found = []
    with DataLoader(reader, data_dir=directory, **options) as loader:
        for batch in loader:
            ids = batch["id"].tolist()
            assert batch["minus"].tolist() == [-number for number in ids]
            assert batch["row"].tolist() == [[number, -number] for number in ids]
            found.append(ids)
    return found


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return write_arrays(tmp_path / "chunks", [20, 1, 13, 40, 0, 8, 25])


@pytest.fixture
def arenas(monkeypatch: pytest.MonkeyPatch) -> list[Arena]:
    """Return the arenas that are made."""
    made = []

    class Noted(Arena):
        def __init__(self, num_parts: int, part_rows: int) -> None:
            super().__init__(num_parts, part_rows)
            made.append(self)

    monkeypatch.setattr(reading, "Arena", Noted)
    return made


@pytest.mark.parametrize("engine", [{"num_workers": 0}, {"num_workers": 2, "num_readers": 2}, {"max_queue_size": 1000}])
def test_batches_are_the_same_as_without(directory, monkeypatch, arenas, engine):
    batches = rows_of(NumpyReader(), directory, **engine)
    assert len(arenas[0]._arrays) == 3
    monkeypatch.setattr(reading, "_arena", lambda options: None)
    assert batches == rows_of(NumpyReader(), directory)
    assert sorted(number for batch in batches for number in batch) == sorted([*range(107), *range(107)])


def test_an_arena_is_freed_with_its_run_and_not_by_the_collector(directory, arenas):
    loader = DataLoader(NumpyReader(), data_dir=directory, shuffle=True, shuffle_window=3, batch_size=7)
    next(loader)
    arrays = [weakref.ref(array) for array in arenas[0]._arrays.values()]
    arenas.clear()
    gc.disable()
    try:
        loader.close()
        assert arrays and not any(array() is not None for array in arrays)
    finally:
        gc.enable()


def test_where_reference_counts_do_not_tell_chunks_lie_in_memory_of_their_own(directory, monkeypatch, arenas):
    assert arena_module._counts_tell()
    batches = rows_of(NumpyReader(), directory)
    monkeypatch.setattr(arena_module, "_counts_tell", lambda: False)
    assert rows_of(NumpyReader(), directory) == batches
    assert [len(arena._arrays) for arena in arenas] == [3, 0]


def test_a_reader_that_keeps_its_arrays_never_sees_them_change(directory, arenas):
    class Cached(NumpyReader):
        def __init__(self):
            super().__init__()
            self.kept = {}

        def read_file(self, path):
            if path not in self.kept:
                self.kept[path] = super().read_file(path)
            return self.kept[path]

    assert rows_of(Cached(), directory) == rows_of(NumpyReader(), directory)


def test_columns_that_a_reader_changes_or_makes_itself_are_gathered_as_they_are(directory, arenas):
    class Changes(NumpyReader):
        def read_file(self, path):
            columns, count = super().read_file(path)
            ids = columns["id"][::-1] if len(path) % 2 else columns["id"].copy()
            return {**columns, "id": np.sort(ids), "row": columns["row"][:, ::-1][:, ::-1]}, count

    assert rows_of(Changes(), directory) == rows_of(NumpyReader(), directory)


def test_a_column_may_lie_in_another_array_in_every_chunk(directory, arenas):
    class Swaps(NumpyReader):
        def read_file(self, path):
            columns, count = super().read_file(path)
            if int(path[-10:-8]) % 2:
                names = {"id": columns["minus"], "minus": columns["id"]}
                columns |= {name: np.negative(values, out=values) for name, values in names.items()}
            return columns, count

    assert rows_of(Swaps(), directory) == rows_of(NumpyReader(), directory)


def test_a_part_is_taken_again_only_when_nobody_looks_at_its_rows():
    arena = Arena(num_parts=1, part_rows=10)
    part = arena.take_part()
    assert arena.take_part() is None
    with part.allocating():
        array = RecycledMemory().empty((6, 2), FLOATS)
    kept = array[2:3]
    arena.give_back(part)
    del array
    assert arena.take_part() is None
    del kept
    assert arena.take_part() is part


def test_columns_of_a_kind_each_have_an_array_of_their_own():
    arena = Arena(num_parts=2, part_rows=5)
    first, second = arena.take_part(), arena.take_part()
    columns = []
    for part in (first, second):
        with part.allocating():
            memory = RecycledMemory()
            columns.append({name: memory.empty((4, 3), FLOATS) for name in "xy"})
    for number, (part, values) in enumerate([(first, columns[0]), (second, columns[1])]):
        values["x"][:], values["y"][:] = number, -number
        assert part.whole_arrays(values).keys() == {"x", "y"}
    whole = first.whole_arrays(columns[0])
    assert whole["x"].shape == (10, 3)
    assert whole["x"][[0, 5]].tolist() == [[0] * 3, [1] * 3]
    assert whole["y"][[0, 5]].tolist() == [[0] * 3, [-1] * 3]
    assert second.whole_arrays(columns[1])["x"] is whole["x"]


def test_what_does_not_lie_in_the_part_as_it_was_taken_is_told_apart():
    arena = Arena(num_parts=1, part_rows=8)
    part = arena.take_part()
    with part.allocating():
        memory = RecycledMemory()
        array = memory.empty((8, 2), FLOATS)
        larger = memory.empty((9, 2), FLOATS)  # than the part
        dates = memory.empty((4,), np.dtype("M8[s]"))
    others = {
        "later rows": array[1:],
        "every other": array[::2],
        "other shape": array.reshape(16),
        "other dtype": array.view(np.int32),
        "larger": larger,
        "dates": dates,
        "list": [1.0] * 8,
    }
    assert part.whole_arrays({"as taken": array, "first rows": array[:3], **others}).keys() == {
        "as taken",
        "first rows",
    }


def test_memory_that_cannot_be_had_is_taken_from_elsewhere():
    part = Arena(num_parts=1, part_rows=2**50).take_part()
    with part.allocating():
        assert RecycledMemory().empty((5, 2), FLOATS).shape == (5, 2)
