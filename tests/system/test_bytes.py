"""Law 1 by bytes: at most max_bytes of columns are resident; what cannot fit is an error, never a wait."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from products import examples

import pyloader.run.resident
from pyloader import DataLoader, DataReader, Dataset, World
from pyloader.columns import column_specs
from pyloader.deliver import ByteBudget
from pyloader.errors import MemoryBoundError
from pyloader.files import ChunkEntry, Manifest, chunk_bytes, write_manifest

ROW_BYTES = 8 + 2 * 4


class RecordingByteBudget(ByteBudget):
    """Keeps the most that was ever entered, reservations included."""

    most = 0

    @property
    def taken(self):
        return self._taken

    @taken.setter
    def taken(self, value):
        self._taken = value
        RecordingByteBudget.most = max(RecordingByteBudget.most, value)


@pytest.fixture
def entered(monkeypatch):
    """Record the most bytes that are entered in any byte budget from here on."""
    monkeypatch.setattr(pyloader.run.resident, "ByteBudget", RecordingByteBudget)
    monkeypatch.setattr(RecordingByteBudget, "most", 0)
    return RecordingByteBudget


def write_arrays(directory, counts):
    """Write chunks of numbered rows of 16 bytes, with a manifest that says so."""
    directory.mkdir(parents=True, exist_ok=True)
    entries, start = [], 0
    for index, count in enumerate(counts):
        chunk = directory / f"chunk-{index:04d}.columns"
        chunk.mkdir()
        ids = np.arange(start, start + count)
        columns = {"id": ids, "row": np.stack([ids, -ids], axis=1).astype(np.float32)}
        for name, values in columns.items():
            np.save(chunk / f"{name}.npy", values)
        entries.append(ChunkEntry(file=chunk.name, num_samples=count, num_bytes=chunk_bytes(chunk)))
        start += count
    manifest = Manifest(columns=column_specs(columns), reader="columns", chunks=tuple(entries))
    write_manifest(directory / "manifest.json", manifest)
    return directory


def write_texts(directory, counts, length=50):
    """Write chunks of JSON lines, without a manifest."""
    directory.mkdir(parents=True, exist_ok=True)
    start = 0
    for index, count in enumerate(counts):
        lines = [json.dumps({"id": n, "text": f"{n:08d}" + "x" * length}) for n in range(start, start + count)]
        (directory / f"chunk-{index:04d}.jsonl").write_text("".join(line + "\n" for line in lines))
        start += count
    return directory


class Bigger(Dataset):
    """Makes many numbers of each row."""

    def __init__(self, factor=50):
        self.factor = factor

    def batch_encode(self, columns):
        ids = np.asarray(columns["id"])
        return {"id": ids, "image": np.repeat(ids.astype(np.float32)[:, None], self.factor, axis=1)}


def all_ids(loader):
    with loader:
        return [batch["id"].tolist() for batch in loader]


def least_that_works(directory, **options):
    """Return the smallest max_bytes that is not refused: what the refusal of 1 byte says."""
    with pytest.raises(ValueError, match="together") as refusal:
        DataLoader(data_dir=directory, max_bytes=1, **options)
    return int(str(refusal.value).partition("Write max_bytes=")[2].partition(",")[0])


counts_of_chunks = st.lists(st.integers(0, 400), min_size=3, max_size=9).filter(lambda counts: sum(counts) > 50)


@pytest.mark.slow
@settings(max_examples=examples(60))
@given(
    counts=counts_of_chunks,
    window=st.integers(1, 5),
    spare=st.sampled_from([0, 1000, 5000, 10**6]),
    num_workers=st.integers(0, 3),
    num_readers=st.integers(1, 3),
    batch_size=st.sampled_from([3, 16, 50]),
    shuffle=st.booleans(),
    last_batch=st.sampled_from(["keep", "drop", "pad", "wrap"]),
    max_skipped=st.integers(0, 1),
)
def test_what_was_not_refused_stays_within_its_bytes_and_delivers_the_same_batches(
    tmp_path_factory, counts, window, spare, num_workers, num_readers, batch_size, shuffle, last_batch, max_skipped
):
    directory = write_arrays(tmp_path_factory.mktemp("chunks"), counts)
    options = {
        "batch_size": batch_size,
        "shuffle": shuffle,
        "shuffle_window": window if shuffle else 1,
        "last_batch": last_batch,
        "max_skipped": max_skipped,
        "num_epochs": 2,
    }
    bound = least_that_works(directory, **options) + spare
    bounded = {**options, "num_workers": num_workers, "num_readers": num_readers, "max_bytes": bound}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pyloader.run.resident, "ByteBudget", RecordingByteBudget)
        RecordingByteBudget.most = 0
        loader = DataLoader(data_dir=directory, **bounded)
        assert all_ids(loader) == all_ids(DataLoader(data_dir=directory, num_workers=0, **options))
    assert 0 < loader.stats().resident_bytes_peak <= RecordingByteBudget.most <= bound


@pytest.mark.slow
@settings(max_examples=examples(25))
@given(
    counts=st.lists(st.integers(30, 300), min_size=3, max_size=9),
    window=st.integers(1, 3),
    per_rank=st.integers(2, 3),
    num_workers=st.integers(0, 3),
    last_batch=st.sampled_from(["drop", "pad", "wrap"]),
)
def test_several_streams_stay_within_their_bytes(tmp_path_factory, counts, window, per_rank, num_workers, last_batch):
    directory = write_arrays(tmp_path_factory.mktemp("chunks"), counts)
    options = {
        "batch_size": 5 * per_rank,
        "shuffle": True,
        "shuffle_window": window,
        "last_batch": last_batch,
        "num_epochs": 2,
        "world": World(1, 2, num_streams=2 * per_rank),
        "max_queue_size": 30,
    }
    bound = least_that_works(directory, **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pyloader.run.resident, "ByteBudget", RecordingByteBudget)
        RecordingByteBudget.most = 0
        loader = DataLoader(data_dir=directory, num_workers=num_workers, max_bytes=bound, **options)
        assert all_ids(loader) == all_ids(DataLoader(data_dir=directory, num_workers=0, **options))
    assert RecordingByteBudget.most <= bound


@pytest.mark.slow
@settings(max_examples=examples(40))
@given(
    counts=counts_of_chunks,
    factor=st.sampled_from([1, 50, 400]),
    window=st.integers(1, 4),
    bound=st.integers(1_000, 400_000),
    num_workers=st.integers(0, 3),
    num_readers=st.integers(1, 3),
)
def test_sizes_that_nobody_knows_beforehand_end_in_the_same_batches_or_in_an_error(
    tmp_path_factory, counts, factor, window, bound, num_workers, num_readers
):
    directory = write_texts(tmp_path_factory.mktemp("chunks"), counts)
    options = {"dataset": Bigger(factor), "batch_size": 16, "shuffle": True, "shuffle_window": window}
    wanted = all_ids(DataLoader(data_dir=directory, num_workers=0, **options))
    got = []
    with DataLoader(
        data_dir=directory, num_workers=num_workers, num_readers=num_readers, max_bytes=bound, **options
    ) as loader:
        try:
            got.extend(batch["id"].tolist() for batch in loader)
        except MemoryBoundError as exc:
            assert "together" in str(exc)
            with pytest.raises(MemoryBoundError):
                next(loader)
        else:
            assert len(got) == len(wanted)
    assert got == wanted[: len(got)]


@pytest.mark.slow
def test_one_large_chunk_among_small_ones_holds_back_reading_ahead(tmp_path, entered):
    counts = [50_000] * 9 + [500_000] + [50_000] * 4
    directory = write_arrays(tmp_path, counts)
    options = {"batch_size": 1000, "shuffle": True, "num_epochs": 2}
    bound = least_that_works(directory, **options)
    assert bound < (500_000 + 9 * 50_000) * ROW_BYTES  # which max_queue_size=10 alone would let in
    loader = DataLoader(data_dir=directory, max_bytes=bound, num_readers=2, num_workers=2, **options)
    with loader, DataLoader(data_dir=directory, **options) as other:
        for batch, wanted in zip(loader, other, strict=True):
            np.testing.assert_array_equal(batch["id"], wanted["id"])
    assert 500_000 * ROW_BYTES < loader.stats().resident_bytes_peak <= entered.most <= bound


def test_chunks_are_entered_before_they_are_read(tmp_path):
    reading, most, lock = [], [], threading.Lock()

    class Watched(DataReader):
        def read_file(self, path):
            with lock:
                reading.append(path)
                most.append(len(reading))
            try:
                return {"id": np.zeros(1000, np.int64)}, 1000
            finally:
                with lock:
                    reading.remove(path)

    for index in range(12):
        (tmp_path / f"{index:02d}.bin").write_bytes(b"x" * 100)
    bound = 2 * 8000 + 800  # one chunk, its rows being handed out, and a batch that is carried
    with DataLoader(Watched(), data_dir=tmp_path, batch_size=100, num_readers=4, max_bytes=bound) as loader:
        assert sum(len(batch["id"]) for batch in loader) == 12_000
        assert loader.stats().resident_bytes_peak <= bound
    assert max(most) == 1


def test_a_window_that_the_bytes_cannot_hold_is_refused_with_the_arithmetic(tmp_path):
    directory = write_arrays(tmp_path, [1000] * 9 + [5000])
    message = (
        r"max_bytes=100,000 cannot hold .* the 4 largest chunks, to be mixed, take 128,000 bytes, rows being "
        r"handed out 128,000, rows left over between batches 1,600: together 257,600. Write max_bytes=257600, or"
    )
    with pytest.raises(ValueError, match=message):
        DataLoader(data_dir=directory, batch_size=100, shuffle=True, max_bytes=100_000)


@pytest.mark.slow
def test_the_refusal_names_the_widest_window_that_works(tmp_path):
    directory = write_arrays(tmp_path, [100_000] * 10)
    options = {"data_dir": directory, "batch_size": 100, "shuffle": True, "max_bytes": "7MB"}
    with pytest.raises(ValueError, match="or shuffle_window=3,"):
        DataLoader(**options)
    with DataLoader(**options, shuffle_window=3) as loader:
        assert sum(len(batch["id"]) for batch in loader) == 1_000_000


@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_chunks_that_turn_out_too_large_are_an_error_with_the_arithmetic(tmp_path, num_workers):
    directory = write_texts(tmp_path, [1000] * 8)
    options = {"batch_size": 16, "shuffle": True, "num_workers": num_workers}
    with DataLoader(data_dir=directory, max_bytes="300kB", **options) as loader:
        with pytest.raises(
            MemoryBoundError, match=r"max_bytes=300,000 cannot hold .* chunks with rows still to come"
        ) as e:
            next(loader)
        assert "shuffle_window" in e.value.hint
        with pytest.raises(MemoryBoundError):
            next(loader)


@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_batches_that_turn_out_too_large_are_an_error_with_the_arithmetic(tmp_path, num_workers):
    directory = write_arrays(tmp_path, [1000] * 8)
    options = {"batch_size": 100, "num_workers": num_workers, "dataset": Bigger(10_000)}
    with (
        DataLoader(data_dir=directory, max_bytes="1MB", **options) as loader,
        pytest.raises(MemoryBoundError, match=r"rows being handed out 4,00\d,\d+"),
    ):
        next(loader)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_what_a_batch_is_made_of_counts_while_it_is_made(tmp_path, num_workers):
    directory = write_arrays(tmp_path, [1000] * 8)
    options = {"batch_size": 1000, "num_workers": num_workers, "dataset": Bigger(100)}
    # 16 kB a chunk, 16 kB carried, and 408 kB a batch would fit, the 16 kB that it is made of beside it do not.
    with DataLoader(data_dir=directory, max_bytes="445kB", **options) as loader:
        next(loader)  # nobody knew how much it becomes
        with pytest.raises(MemoryBoundError, match="rows being handed out 424,"):
            next(loader)


@pytest.mark.parametrize("num_workers", [0, 1, 3])
def test_a_loader_whose_batches_grow_holds_fewer_of_them(tmp_path, entered, num_workers):
    directory = write_arrays(tmp_path, [1000] * 8)
    bound = 2_000_000  # a batch of 100 rows becomes 400 kB
    options = {"batch_size": 100, "dataset": Bigger(1000), "num_epochs": 2}
    loader = DataLoader(data_dir=directory, max_bytes=bound, num_workers=num_workers, **options)
    assert all_ids(loader) == all_ids(DataLoader(data_dir=directory, **options))
    assert 400_000 < loader.stats().resident_bytes_peak <= entered.most <= bound


@pytest.mark.slow
def test_processes_keep_the_bytes_and_the_batches(tmp_path):
    pytest.importorskip("cloudpickle")
    directory = write_texts(tmp_path, [300] * 8)
    options = {"batch_size": 16, "shuffle": True}
    loader = DataLoader(data_dir=directory, max_bytes="400kB", worker_kind="process", num_workers=2, **options)
    assert all_ids(loader) == all_ids(DataLoader(data_dir=directory, num_workers=0, **options))
    assert loader.stats().resident_bytes_peak <= 400_000


def test_parts_of_the_readers_arrays_are_counted_once(tmp_path):
    directory = write_arrays(tmp_path, [1000] * 8)
    with DataLoader(data_dir=directory, batch_size=100, copy=False, max_bytes="50kB") as loader:
        assert sum(len(batch["id"]) for batch in loader) == 8000
        assert loader.stats().resident_bytes_peak < 3 * 1000 * ROW_BYTES + 200 * ROW_BYTES


def test_closing_wakes_a_reader_that_waits_for_bytes(tmp_path):
    directory = write_arrays(tmp_path, [1000] * 8)
    loader = DataLoader(data_dir=directory, batch_size=1000, max_bytes="50kB", num_readers=2)
    next(loader)
    loader.close()  # the fixture finds threads that are left


def test_stats_show_the_bytes_beside_their_bound(tmp_path):
    directory = write_arrays(tmp_path, [1000] * 8)
    with DataLoader(data_dir=directory, batch_size=100, max_bytes="1MB") as loader:
        assert sum(len(batch["id"]) for batch in loader) == 8000
        stats = loader.stats()
    assert stats.max_bytes == 1_000_000
    assert "kB of 1.0 MB" in str(stats).partition("resident ")[2].partition("\n")[0]
    with DataLoader(data_dir=directory, batch_size=100) as loader:
        next(loader)
        assert (loader.stats().max_bytes, loader.stats().resident_bytes_peak) == (None, None)


def test_resuming_under_a_bound_goes_on_with_the_same_batches(tmp_path):
    directory = write_arrays(tmp_path, [300, 900, 100, 500, 700])
    options = {"data_dir": directory, "batch_size": 64, "shuffle": True, "shuffle_window": 3, "max_bytes": "120kB"}
    wanted = all_ids(DataLoader(**options))
    for step in range(0, len(wanted), 7):
        with DataLoader(**options) as loader:
            for _ in range(step):
                next(loader)
            state = loader.state_dict()
        loader = DataLoader(**options)
        loader.load_state_dict(state)
        assert all_ids(loader) == wanted[step:]
