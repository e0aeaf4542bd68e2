"""prefetch_to_device on a GPU: every batch arrives whole, whatever the streams are at, and copies run beside kernels.

A loop is kept busy by kernels that wait, so that it is far behind the loader and the copies when it reads a batch.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyloader import ChunkWriter, DataLoader, Dataset, JsonlReader, NumpyReader
from pyloader.columns import Columns

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.frameworks,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
]

from pyloader.torch import TorchDataCollator, prefetch_to_device  # noqa: E402

CHUNKS, CHUNK_ROWS, BATCH, WIDTH = 8, 1024, 128, 256  # a batch has 128 kB: its memory is recycled
MILLISECOND = 2_000_000  # of a kernel that waits, in the GPU's cycles, or somewhat more


@pytest.fixture(scope="module")
def chunks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of float32 that tell, in every number, which sample they are of."""
    directory = tmp_path_factory.mktemp("cuda") / "chunks"
    with ChunkWriter(directory, chunk_samples=CHUNK_ROWS) as writer:
        for number in range(CHUNKS * CHUNK_ROWS):
            writer.write({"id": number, "row": np.arange(WIDTH, dtype=np.float32) + number})
    return directory


def loader_of(chunks: Path, *, mmap: bool = False, pin_memory: bool | None = None, **options: Any) -> DataLoader:
    collator = None if pin_memory is None else TorchDataCollator(pin_memory=pin_memory)
    options = {"batch_size": BATCH, "shuffle": True, "num_epochs": 2, **options}
    return DataLoader(NumpyReader(mmap=mmap), None, collator, chunks, **options)


def ids_of(batches: Iterable[Any]) -> list[int]:
    return [number for batch in batches for number in np.asarray(batch["id"]).tolist()]


class Loop:
    """A training loop that never waits for the GPU, and whose steps begin by waiting there.

    Args:
      wait: Of each step, in cycles.
    """

    def __init__(self, wait: int = MILLISECOND) -> None:
        self._wait = wait
        self._columns = torch.arange(WIDTH, dtype=torch.float32, device="cuda")
        self._wrong = torch.zeros((), dtype=torch.int64, device="cuda")
        self._ids: list[Any] = []
        torch.cuda.synchronize()  # these are there, also for another stream

    def step(self, batch: Any) -> None:
        """Read a batch, some time from now."""
        torch.cuda._sleep(self._wait)
        ids, rows = batch["id"], batch["row"]
        assert ids.device.type == rows.device.type == "cuda"
        self._wrong += (rows != ids[:, None].float() + self._columns).sum()
        self._ids.append(ids.clone())

    def run(self, batches: Iterable[Any]) -> None:
        """Take a step on each batch, and keep none."""
        for batch in batches:
            self.step(batch)
            del batch

    def ids(self) -> list[int]:
        """Return the samples seen, in order, having checked that all their numbers were right."""
        torch.cuda.synchronize()
        assert int(self._wrong) == 0, f"{int(self._wrong):,} numbers on the device were not those of their samples"
        return torch.cat(self._ids).tolist() if self._ids else []


@pytest.mark.parametrize("shuffle_window", [1, 4, 8])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_every_batch_arrives_whole_while_the_gpu_is_behind(chunks, shuffle_window: int, num_workers: int) -> None:
    options: dict[str, Any] = {"shuffle_window": shuffle_window, "num_workers": num_workers}
    loop = Loop()
    with prefetch_to_device(loader_of(chunks, **options)) as batches:
        loop.run(batches)
    assert loop.ids() == ids_of(loader_of(chunks, **options))


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize(
    "options",
    [
        {"mmap": True, "shuffle_window": 1},
        {"shuffle": False},
        {"copy": False},
        {"pin_memory": False},
        {"pin_memory": True},
        {"pin_memory": True, "num_workers": 2, "shuffle_window": 1},
        {"pin_memory": True, "worker_kind": "process", "num_workers": 2},
        {"worker_kind": "process", "num_workers": 2},
        {"batch_size": 100, "last_batch": "pad"},
    ],
    ids=lambda options: " ".join(f"{name}={value}" for name, value in options.items()),
)
def test_so_it_does_from_every_kind_of_memory(chunks, size: int, options: dict[str, Any]) -> None:
    loop = Loop()
    with prefetch_to_device(loader_of(chunks, **options), size=size) as batches:
        loop.run(batches)
    assert loop.ids() == ids_of(loader_of(chunks, **options))


class Numbers(Dataset):
    """The rows of lines of text, encoded in another process."""

    def batch_encode(self, columns: Columns) -> Columns:
        ids = np.array([int(text) for text in columns["text"]])
        return {"id": ids, "row": (ids[:, None] + np.arange(WIDTH)).astype(np.float32)}


@pytest.mark.parametrize("pin_memory", [False, True])
@pytest.mark.parametrize("worker_kind", ["thread", "process"])
def test_so_it_does_from_text_that_workers_encode(tmp_path: Path, worker_kind: str, pin_memory: bool) -> None:
    for chunk in range(4):
        numbers = range(chunk * CHUNK_ROWS, (chunk + 1) * CHUNK_ROWS)
        (tmp_path / f"{chunk}.jsonl").write_text("".join(json.dumps({"text": str(n)}) + "\n" for n in numbers))

    def loader() -> DataLoader:
        parts = JsonlReader(), Numbers(), TorchDataCollator(pin_memory=pin_memory), tmp_path
        return DataLoader(*parts, batch_size=BATCH, shuffle=True, num_workers=2, worker_kind=worker_kind)

    loop = Loop()
    with prefetch_to_device(loader()) as batches:
        loop.run(batches)
    with loader() as plain:
        assert loop.ids() == ids_of(plain)


@pytest.mark.parametrize("pin_memory", [None, True])
def test_host_memory_is_not_used_again_before_a_late_copy_is_done(chunks, pin_memory: bool | None) -> None:
    loop = Loop(wait=1)
    with prefetch_to_device(loader_of(chunks, pin_memory=pin_memory), size=4) as batches:
        for _ in range(2 * CHUNKS * CHUNK_ROWS // BATCH):
            with torch.cuda.stream(batches._copies._stream):
                torch.cuda._sleep(MILLISECOND)  # before the copies that follow
            loop.step(next(batches))
    assert loop.ids() == ids_of(loader_of(chunks))


def test_the_streams_that_the_loop_works_on_are_its_own_affair(chunks) -> None:
    loop, streams = Loop(), itertools.cycle([torch.cuda.Stream(), torch.cuda.Stream()])
    before = torch.cuda.current_stream()
    with prefetch_to_device(loader_of(chunks)) as batches:
        for _ in range(100):
            stream = next(streams)
            stream.wait_stream(before)  # what a step adds to is what the step before has left
            with torch.cuda.stream(stream):
                loop.step(next(batches))
            before = stream
    assert loop.ids() == ids_of(itertools.islice(loader_of(chunks), 100))


def test_copies_run_while_the_loops_kernels_do(chunks) -> None:
    with prefetch_to_device(loader_of(chunks), size=2) as batches:
        next(batches)
        torch.cuda.synchronize()
        torch.cuda._sleep(500 * MILLISECOND)
        kernel_is_done = torch.cuda.current_stream().record_event()
        first = next(batches)  # here already; the next one is copied now
        batches._ahead[0][0][1].synchronize()
        assert not kernel_is_done.query(), "the copy has waited for the loop's kernel"
    assert first["row"].device.type == "cuda"


@pytest.mark.parametrize("size", [1, 2])
def test_a_loop_that_never_waits_for_the_gpu_does_not_fill_its_memory(chunks, size: int) -> None:
    loader = loader_of(chunks, num_epochs=None)
    batch_bytes = BATCH * (WIDTH * 4 + 8)
    with prefetch_to_device(loader, size=size) as batches:
        next(batches)
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_stats()["active_bytes.all.current"]
        for batch in itertools.islice(batches, 100):
            torch.cuda._sleep(4 * MILLISECOND)
            batch["row"].sum()
            del batch
        most = torch.cuda.memory_stats()["active_bytes.all.peak"] - before  # with what kernels may still read
    torch.cuda.synchronize()
    assert most <= (2 * size + 1) * batch_bytes + 2**20


def test_batches_that_are_kept_and_looked_at_stay_what_they_were(chunks) -> None:
    loop, kept = Loop(wait=1), []
    with prefetch_to_device(loader_of(chunks)) as batches:
        for _ in range(2 * CHUNKS * CHUNK_ROWS // BATCH):
            torch.cuda._sleep(MILLISECOND // 10)
            peeked = batches.peek()
            kept.append(next(batches))
            assert peeked["row"] is kept[-1]["row"]
    loop.run(kept)
    assert loop.ids() == ids_of(loader_of(chunks))


@pytest.mark.parametrize("size", [1, 3])
def test_a_loop_that_ends_with_copies_on_their_way_goes_on_exactly(chunks, size: int) -> None:
    everything = ids_of(loader_of(chunks))
    for steps in (0, 1, 5, 63, 64, 65):
        loop = Loop()
        killed = prefetch_to_device(loader_of(chunks), size=size)
        for _ in range(steps):
            loop.step(next(killed))
        killed.peek()
        state = json.loads(json.dumps(killed.state_dict()))
        killed.close()  # the GPU is still at it
        with prefetch_to_device(loader_of(chunks), size=size) as resumed:
            resumed.load_state_dict(state)
            loop.run(itertools.islice(resumed, 20))
            assert resumed.steps_done == steps + 20
        assert loop.ids() == everything[: (steps + 20) * BATCH]


def test_a_loop_that_breaks_or_fails_goes_on_where_it_was(chunks) -> None:
    loop = Loop()
    with prefetch_to_device(loader_of(chunks, num_epochs=1)) as batches:
        with pytest.raises(RuntimeError, match="the loop's own"):
            for number, batch in enumerate(batches):
                loop.step(batch)
                if number == 10:
                    raise RuntimeError("the loop's own")
        for batch in batches:
            loop.step(batch)
            break
        loop.run(batches)
        batches.reset()
        loop.run(batches)
    assert loop.ids() == 2 * ids_of(loader_of(chunks, num_epochs=1))


def test_a_loader_that_is_wrapped_anew_in_every_epoch_gives_all_batches_in_the_same_memory(chunks) -> None:
    loop, reserved = Loop(), []
    with loader_of(chunks, num_epochs=None) as loader:
        for _ in range(4):
            loop.run(itertools.islice(prefetch_to_device(loader), 50))
            torch.cuda.synchronize()
            reserved.append(torch.cuda.memory_reserved())
    assert loop.ids() == ids_of(itertools.islice(loader_of(chunks, num_epochs=None), 200))
    assert reserved[3] == reserved[1]


class Half(Dataset):
    """Fails when the second half of the samples has come."""

    def batch_encode(self, columns: Columns) -> Columns:
        if columns["id"][0] >= CHUNKS * CHUNK_ROWS // 2:
            raise RuntimeError("half of it")
        return columns


def test_an_error_of_the_loader_comes_after_good_batches_that_are_whole(chunks) -> None:
    loop = Loop()
    with prefetch_to_device(DataLoader(NumpyReader(), Half(), None, chunks, batch_size=BATCH), size=3) as batches:
        for _ in range(2):
            with pytest.raises(RuntimeError, match="half of it"):
                loop.run(batches)
    assert loop.ids() == list(range(CHUNKS * CHUNK_ROWS // 2))


def test_tensors_are_pinned_by_workers_of_both_kinds(chunks) -> None:
    for kind in ("thread", "process"):
        with loader_of(chunks, pin_memory=True, worker_kind=kind) as loader:
            batch = next(loader)
            assert batch["row"].is_pinned()
            assert batch["id"].is_pinned()


def test_strings_stay_on_the_host_and_tensors_that_are_there_stay_there() -> None:
    from pyloader.torch.placing import CudaCopies

    copies = CudaCopies(torch.device("cuda", 0), 2)
    there = torch.arange(3, device="cuda")
    batch = copies.arrived(copies.begin({"text": ["a", "b"], "there": there, "numbers": (np.arange(3), 4.0)}))
    assert batch["text"] == ["a", "b"]
    assert batch["there"] is there
    assert (batch["numbers"][0].tolist(), batch["numbers"][1]) == ([0, 1, 2], 4.0)
