"""prefetch_to_device: batches on the device ahead of the loop, and a state that is the loop's."""

from __future__ import annotations

from contextlib import contextmanager
from itertools import islice
from typing import Any

import numpy as np
import pytest
from numbered import ids_of, loader_of, write_chunks

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.frameworks

from pyloader.torch import placing, prefetch_to_device  # noqa: E402


@pytest.fixture
def chunks(tmp_path):
    return write_chunks(tmp_path / "chunks", [10, 7, 12, 9])


def shuffled(chunks, **options):
    return loader_of(chunks, shuffle=True, batch_size=4, **options)


def test_on_the_cpu_arrays_become_tensors(chunks) -> None:
    with prefetch_to_device(shuffled(chunks, text=True), "cpu") as batches:
        got = list(batches)
    assert torch.is_tensor(got[0]["id"])
    assert ids_of(got) == ids_of(shuffled(chunks))


def test_its_state_is_the_loops_and_goes_on_exactly(chunks) -> None:
    everything = ids_of(shuffled(chunks))
    with prefetch_to_device(shuffled(chunks), "cpu", size=3) as batches:
        for number in range(4):
            assert next(batches)["id"].tolist() == everything[number]
        state = batches.state_dict()
    with prefetch_to_device(shuffled(chunks), "cpu") as resumed:
        resumed.load_state_dict(state)
        assert resumed.steps_done == 4
        assert ids_of(resumed) == everything[4:]


def test_a_device_beyond_the_last_is_an_error_at_once(log, chunks) -> None:
    with pytest.raises(ValueError, match=r"to 'cuda:2': the last CUDA device here is 'cuda:1'"):
        prefetch_to_device(shuffled(chunks), "cuda:2")


def test_a_device_that_is_not_there_is_an_error_at_once(chunks) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is CUDA")
    with pytest.raises(ValueError, match=r"torch sees no CUDA device here. Write device='cpu'"):
        prefetch_to_device(shuffled(chunks), "cuda")
    with pytest.raises(ValueError, match="size must be at least 1"):
        prefetch_to_device(shuffled(chunks), "cpu", size=0)


class Log:
    """Stands in for CUDA's streams, and writes down in which order they are told what."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.current = "loop"
        self.made_on: list[Any] = []
        self.num_steps = 0

    def stream(self, name: str) -> Any:
        log = self

        class Stream:
            def record_event(self) -> str:
                log.lines.append(f"{name} records after {log.copied()}")
                return f"event {log.copied()}"

            def wait_event(self, event: str) -> None:
                log.lines.append(f"{name} waits for {event}")

            def __repr__(self) -> str:
                return name

        return Stream()

    def new_stream(self, device: Any) -> Any:
        self.made_on.append(device)
        return self.stream("side")

    def step_event(self, blocking: bool) -> Any:
        assert blocking, "the loop would wait with a processor at full speed"
        self.num_steps += 1
        log, name = self, f"step {self.num_steps}"

        class Event:
            def record(self, stream: Any) -> None:
                log.lines.append(f"{stream!r} records {name}")

            def synchronize(self) -> None:
                log.lines.append(f"host waits for {name}")

        return Event()

    def copied(self) -> int:
        return sum(line.startswith("copy") for line in self.lines)

    @contextmanager
    def within(self, stream: Any) -> Any:
        self.current = repr(stream)
        yield
        self.current = "loop"


class OnDevice(torch.Tensor):
    log: Log
    device = torch.device("cuda", 0)

    def record_stream(self, stream: Any) -> None:
        self.log.lines.append(f"{self.tolist()} used by {stream!r}")


@pytest.fixture
def log(monkeypatch):
    log = Log()

    def to_device(self: Any, device: Any, non_blocking: bool) -> Any:
        log.lines.append(f"copy of {self.tolist()} on {log.current}{' asynchronously' if non_blocking else ''}")
        moved = self.as_subclass(OnDevice)
        moved.log = log
        return moved

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "Event", log.step_event)
    monkeypatch.setattr(torch.cuda, "Stream", log.new_stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: log.stream("loop"))
    monkeypatch.setattr(torch.cuda, "stream", log.within)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self)
    monkeypatch.setattr(torch.Tensor, "to", to_device)
    placing._copying_stream.cache_clear()
    yield log
    placing._copying_stream.cache_clear()


def test_the_loops_stream_waits_for_a_batch_and_is_known_to_use_it(log) -> None:
    """What is told to the streams, and when; that CUDA then does right is for a machine with a GPU to show."""
    copies = placing.CudaCopies(torch.device("cuda", 0), 2)
    begun = [copies.begin({"x": np.array([number]), "nested": (np.array([number + 10]), "text")}) for number in (1, 2)]
    assert log.lines == [
        "copy of [1] on side asynchronously",
        "copy of [11] on side asynchronously",
        "side records after 2",
        "copy of [2] on side asynchronously",
        "copy of [12] on side asynchronously",
        "side records after 4",
    ]
    log.lines.clear()
    batch = copies.arrived(begun[0])
    assert log.lines == ["loop waits for event 2", "[1] used by 'loop'".replace("'", ""), "[11] used by loop"]
    assert batch["nested"][1] == "text"


def test_a_batch_is_copied_before_the_loop_has_the_one_before_it(log, chunks) -> None:
    with prefetch_to_device(shuffled(chunks), "cuda:0", size=2) as batches:
        for batch in islice(batches, 2):
            waited = log.lines.index(next(line for line in log.lines if line.startswith("loop waits")))
            copied = sum(line.startswith("side records") for line in log.lines[:waited])
            assert copied == 2
            assert f"{batch['id'].tolist()} used by loop" in log.lines
        batches.peek()
        assert f"{batches.peek()['id'].tolist()} used by loop" in log.lines


@pytest.mark.parametrize("size", [1, 3])
def test_the_loop_is_at_most_so_many_steps_ahead_of_its_kernels(log, chunks, size: int) -> None:
    with prefetch_to_device(shuffled(chunks), "cuda:0", size=size) as batches:
        for number in range(1, 8):
            log.lines.clear()
            next(batches)
            waits = [f"host waits for step {number - size}"] if number > size else []
            assert log.lines[: len(waits) + 1] == [*waits, f"loop records step {number}"], "before more is copied"
            assert not any(line.startswith("host waits") for line in log.lines[len(waits) + 1 :])
            batches.peek()


def test_all_prefetchers_of_a_device_copy_on_one_stream(log, chunks) -> None:
    for device in ("cuda:0", "cuda:1", "cuda:0"):
        with prefetch_to_device(shuffled(chunks), device) as batches:
            next(batches)
    assert log.made_on == [torch.device("cuda", 0), torch.device("cuda", 1)]
