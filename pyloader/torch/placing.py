"""Placing: the batches of a loader become tensors on a device, some of them ahead of the loop."""

from __future__ import annotations

from collections import deque
from functools import cache, partial
from typing import Any

import torch

from pyloader.collate import map_leaves
from pyloader.options import checked_integer
from pyloader.run.adapters import LoaderAdapter
from pyloader.torch.collator import as_tensor

__all__ = ["CudaCopies", "DevicePrefetch", "prefetch_to_device"]


class DevicePrefetch(LoaderAdapter[Any]):
    """A loader whose batches are on a device; what `prefetch_to_device` returns, with the same arguments."""

    def __init__(self, loader: Any, device: torch.device | str | int = "cuda", size: int = 2) -> None:
        checked_integer("size", size, at_least=1)
        self._device = _checked_device(device)
        self._copies = CudaCopies(self._device, size) if self._device.type == "cuda" else None
        # Not a method of this object: it would keep itself alive.
        begin = partial(_tensors_to, device=self._device) if self._copies is None else self._copies.begin
        super().__init__(loader, begin, size=size)

    def __next__(self) -> Any:
        if self._copies is None:
            return super().__next__()
        self._copies.wait_for_kernels()
        return self._copies.arrived(super().__next__())

    def peek(self) -> Any:
        """Return the batch that comes next, without using it up; at a run's end, the first of the next run."""
        batch = super().peek()
        return batch if self._copies is None else self._copies.arrived(batch)


def prefetch_to_device(loader: Any, device: torch.device | str | int = "cuda", size: int = 2) -> DevicePrefetch:
    """Return the batches of `loader` with their arrays as tensors on `device`, copied while the loop works.

    Ask it in place of the loader: `state_dict`, `load_state_dict`, `steps_done`, `epochs_done`, `peek`, `stats`,
    `reset` and `close` are those of the batch last handed to the loop.

    To CUDA, copies run on a stream of their own, from page-locked memory; TorchDataCollator(pin_memory=True) moves the
    locking to the loader's workers.  The loop may be `size` steps ahead of its kernels, and waits for them beyond: at
    most 2 * size batches, give or take one, are on the device.  On the CPU arrays become tensors that share their
    memory.

    Args:
      loader: A DataLoader, or a wrapper of one; its batches are arrays or tensors in dicts, lists or tuples.  Lists of
        strings, numbers and all else stay on the host as they are.
      device: A torch.device, its name, or the index of a CUDA device.
      size: How many batches are on the device before the loop gets the first of them: 2 is double buffering.

    Raises:
      TypeError, ValueError: an argument that makes no sense, or a CUDA device that torch does not see.
    """
    return DevicePrefetch(loader, device, size)


class CudaCopies:
    """Copies batches to a CUDA device on a stream of its own, beside the loop's kernels.

    Three things keep this correct.  The loop's stream waits for a batch's event before the batch is handed over, so no
    kernel reads what has not arrived.  `record_stream` tells the allocator, which knows the memory as the copying
    stream's, that the loop's stream uses it too: freed memory is not copied into while a kernel may still read it.  And
    page-locked memory is given out again by torch only after the copies from it are done, so nothing must be kept here.

    One thing keeps it small.  Freed memory is not used again before the loop's kernels have reached the end of the
    batch's step, and a loop that never asks for a number is ahead of them without limit; so it waits in
    `wait_for_kernels`, as torch's FSDP waits before it gathers once more.

    Args:
      device: Where batches go.
      size: How many steps the loop may be ahead of its kernels.
    """

    def __init__(self, device: torch.device, size: int) -> None:
        self._device, self._size = device, size
        self._stream = _copying_stream(device)
        self._steps: deque[torch.cuda.Event] = deque()  # each comes when the kernels of all steps before it are done

    def wait_for_kernels(self) -> None:
        """Wait, without using the processor, until the loop's kernels are within `size` steps of it."""
        if len(self._steps) == self._size:
            self._steps.popleft().synchronize()
        step = torch.cuda.Event(blocking=True)
        step.record(torch.cuda.current_stream(self._device))
        self._steps.append(step)

    def begin(self, batch: Any) -> tuple[Any, torch.cuda.Event]:
        """Return the batch on the device, and the event that comes when it has arrived there."""
        with torch.cuda.stream(self._stream):
            placed = _tensors_to(batch, self._device, pinned=True)
            return placed, self._stream.record_event()

    def arrived(self, begun: tuple[Any, torch.cuda.Event]) -> Any:
        """Return the batch of `begin`, for work on the current stream."""
        batch, event = begun
        current = torch.cuda.current_stream(self._device)
        current.wait_event(event)

        def in_use(_: str, leaf: Any) -> Any:
            if isinstance(leaf, torch.Tensor) and leaf.device.type == "cuda":
                leaf.record_stream(current)
            return leaf

        return map_leaves(in_use, batch)


@cache
def _copying_stream(device: torch.device) -> torch.cuda.Stream:
    """Return the stream of all copies to a device.

    One is enough, and torch keeps freed memory for the stream that it was taken on: with a stream for each epoch's
    prefetcher, what earlier ones have left would be of no use.
    """
    return torch.cuda.Stream(device)


def _tensors_to(batch: Any, device: torch.device, *, pinned: bool = False) -> Any:
    def place(name: str, leaf: Any) -> Any:
        tensor = as_tensor(leaf, name)
        if not isinstance(tensor, torch.Tensor):
            return tensor
        if pinned and tensor.device.type == "cpu":
            tensor = tensor.pin_memory()  # the same tensor where it is pinned already
        return tensor.to(device, non_blocking=pinned)

    return map_leaves(place, batch)


def _checked_device(device: Any) -> torch.device:
    checked = torch.device(device)
    if checked.type != "cuda":
        return checked
    if not torch.cuda.is_available():
        raise ValueError(f"prefetch_to_device to {device!r}: torch sees no CUDA device here. Write device='cpu'")
    index = torch.cuda.current_device() if checked.index is None else checked.index
    if index >= (num_devices := torch.cuda.device_count()):
        raise ValueError(f"prefetch_to_device to {device!r}: the last CUDA device here is 'cuda:{num_devices - 1}'")
    return torch.device("cuda", index)
