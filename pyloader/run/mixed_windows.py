"""Mixed windows: how many chunks of each source of a mixture are mixed, and the queue that holds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyloader.files import MixedChunks
from pyloader.machine.limits import available_bytes
from pyloader.options import format_bytes
from pyloader.run.loader_options import MAX_QUEUE_SIZE, SHUFFLE_WINDOW

__all__ = ["mixed_queue_size", "mixed_windows"]


def mixed_windows(
    chunks: MixedChunks,
    given: int | Mapping[str, int] | None,
    in_state: Mapping[str, int],
    *,
    weights: Sequence[int],
    mixes: bool,
) -> list[int]:
    """Return each source's window.

    Those that were not given are those of the state, else 4, and lowered to 1 for the lightest sources first until they
    make no more than the usual queue holds.  Neither ranks nor the queue have a part in it: batches would depend on
    them.

    Args:
      chunks: The chunks of all sources.
      given: `shuffle_window`, as it was given.
      in_state: Those of a state, by source.
      weights: The first weight of each source.
      mixes: Whether chunks and their rows are shuffled.

    Raises:
      ValueError: windows were given, and nothing is shuffled.
    """
    labels = chunks.labels
    told = {} if given is None else dict(given) if isinstance(given, Mapping) else dict.fromkeys(labels, given)
    if not mixes and any(window > 1 for window in told.values()):
        raise ValueError(f"shuffle_window={given!r} needs shuffle=True, which mixes chunks and their rows")
    kept = {**in_state, **told}
    windows = {name: kept.get(name, SHUFFLE_WINDOW if mixes else 1) for name in labels}
    for _, name in sorted(zip(weights, labels, strict=True)):
        if sum(_widths(chunks, list(windows.values()))) < MAX_QUEUE_SIZE:
            break
        if name not in kept:
            windows[name] = 1
    return list(windows.values())


def mixed_queue_size(chunks: MixedChunks, given: int, windows: Sequence[int], num_served: int) -> int:
    """Return the most chunks resident at once: where it was not given, what the windows hold, and one.

    Args:
      chunks: The chunks of all sources.
      given: `max_queue_size`.
      windows: Each source's window.
      num_served: How many streams this process delivers.

    Raises:
      ValueError: it is too small for that, or that too much for the memory.
    """
    widths = _widths(chunks, windows)
    needed = sum(widths) * num_served + (max(widths) > 1)
    if needed <= given:
        return given
    mixing = f"the windows of {len(widths)} sources hold {sum(widths)} chunks for mixing"
    mixing += f" in each of the {num_served} streams here" if num_served > 1 else ""
    mixing += ", and one is handed out" if max(widths) > 1 else ""
    least = len(widths) * num_served
    or_narrower = f", or shuffle_window=1, which needs {least}" if sum(widths) > len(widths) else ""
    if given != MAX_QUEUE_SIZE:
        raise ValueError(
            f"{mixing}: max_queue_size must be at least {needed}, got {given}. "
            f"Write max_queue_size={needed}{or_narrower}"
        )
    half, row = available_bytes() // 2, chunks.row_bytes
    of_chunk = int(chunks.sizes.max()) if row is None else row * int(chunks.counts.max())
    if needed * of_chunk > half:
        raise ValueError(
            f"{mixing}: {needed} chunks of up to {format_bytes(of_chunk)} take more than half of the memory, "
            f"{format_bytes(half)}. Write max_queue_size={needed}{or_narrower}, or split into chunks of at most "
            f"{format_bytes(half // needed)}: pyloader split --chunk-bytes"
        )
    return needed


def _widths(chunks: MixedChunks, windows: Sequence[int]) -> list[int]:
    """Return how many chunks each source's segments mix."""
    return [min(window, len(own)) for window, own in zip(windows, chunks.of_sources, strict=True)]
