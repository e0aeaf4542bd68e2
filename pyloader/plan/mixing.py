"""Mixing: of how many chunks a batch holds samples, and how varied its classes are, by arithmetic: nothing is read.

The concentration of a batch is the sum of its chunks' squared shares (Simpson's index), and the effective number of
chunks is one by that: K where K chunks have equal shares.  Which rows a segment has of each chunk is arithmetic, and
the order inside of it is random, so that a batch's shares are draws without replacement, whose squares have a known
expectation.

Classes that lie together in chunks come together in batches.  How much is the design effect of cluster sampling (L.
Kish, Survey Sampling, 1965), with chunks as clusters: it follows from the concentration, and from how far the shares of
classes differ from chunk to chunk.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pyloader.plan.dealing import Dealing
from pyloader.plan.mixture import MixedStreams
from pyloader.plan.position import START
from pyloader.plan.streams import StreamPart, Streams

__all__ = [
    "ClassSpread",
    "batch_concentrations",
    "class_spread",
    "mixture_concentrations",
    "planned_variety",
    "variety",
]

_MOST_ARRIVALS = 10_000  # of a stream: so many say as much as all
_MOST_MIXED = 64  # batches of a mixture that are looked at
_MOST_SHARES = 512  # of batches that are looked at, over all streams


def batch_concentrations(streams: Streams, *, epoch: int = 0, served: Sequence[int] | None = None) -> np.ndarray:
    """Return the expected concentration of the batches of an epoch.

    Args:
      streams: The plan; the chunks' counts are known.
      epoch: Which epoch.
      served: The streams that the batches are of: those of one rank, or of all; None is `streams.served`.

    Returns:
      float64 array of shape [batches], each in (0, 1]: of all batches, or of some, evenly spread.
    """
    numbers = streams.served if served is None else served
    parts = [_beginning(streams.stream_part(number, epoch)) for number in numbers]
    share = streams.share
    if not all(part.num_rows for part in parts):
        return np.zeros(0)
    # A stream may have one row less for the last batch than others; what fills that up is left out.
    num_steps = min(max(1, streams.steps_per_epoch), *(-(-part.num_rows // share) for part in parts))
    num_shown = min(num_steps, max(16, _MOST_SHARES // len(parts)))
    steps = np.linspace(0, num_steps - 1, num_shown).astype(np.int64)
    batches = [
        [draw for part in parts for draw in _draws(part, step * share, min((step + 1) * share, part.num_rows))]
        for step in steps.tolist()
    ]
    return np.array([_concentration(draws) for draws in batches])


def mixture_concentrations(streams: MixedStreams) -> np.ndarray:
    """Return the concentration of batches of a mixture's first epoch, of the streams served, as they will come.

    Returns:
      float64 array of shape [batches], each in (0, 1]: of some, evenly spread.
    """
    assert streams.steps_per_epoch, "asked of a mixture without an end"
    steps = np.unique(np.linspace(0, streams.steps_per_epoch - 1, _MOST_MIXED).astype(np.int64))
    position, found = START, []
    for step in steps.tolist():
        position = streams.onward(position, step - position.steps_done)
        rows = streams.rows_of_step(position).reshape(streams.num_streams, -1, 4)[streams.served].reshape(-1, 4)
        _, counts = np.unique(rows[:, [0, 2]], axis=0, return_counts=True)
        found.append(float((counts / len(rows)) @ (counts / len(rows))))
    return np.array(found)


@dataclass(frozen=True, slots=True)
class ClassSpread:
    """How a column's classes lie in the chunks.

    The chance that two samples differ in class is one less the sum of the squared shares of the classes.
    """

    within: float  # the chance that two samples of one chunk differ, drawn with replacement; the mean over the chunks
    between: float  # the variance of the classes' shares from chunk to chunk, summed over the classes


def class_spread(counts: np.ndarray) -> ClassSpread:
    """Return how classes lie in chunks.

    Args:
      counts: How many samples of each class each chunk has, integers of shape [chunks, classes]: of all chunks, or of
        some that were drawn at random.
    """
    counts = np.asarray(counts, np.float64)
    counts = counts[counts.sum(axis=1) > 0]
    sizes = counts.sum(axis=1, keepdims=True)
    shares, weights = counts / sizes, sizes[:, 0] / max(1.0, sizes.sum())
    within = float(weights @ (1 - (shares**2).sum(axis=1))) if len(counts) else 0.0
    if len(counts) < 2:
        return ClassSpread(within, 0.0)
    differences = ((shares - weights @ shares) ** 2).sum(axis=1)
    return ClassSpread(within, float(weights @ differences) * len(counts) / (len(counts) - 1))


def variety(spread: ClassSpread, concentration: float, *, batch_size: int, num_chunks: int, num_samples: int) -> float:
    """Return how near the classes of batches come to those of a full shuffle.

    With a variety of 0.1 the shares of classes in a batch of 256 samples differ as much, from batch to batch, as in 26
    samples of a full shuffle.

    Args:
      spread: How the classes lie in the chunks, whose order is random.
      concentration: The mean of the batches' concentrations.
      batch_size: How many samples a batch has.
      num_chunks: How many chunks there are.
      num_samples: How many samples they have.

    Returns:
      The variance of the shares in a full shuffle by that in these batches, in (0, 1]; 1 where a batch has more than
      half of all samples.
    """
    total = spread.within + spread.between * (1 - 1 / num_chunks)
    if total <= 0 or 2 * batch_size > num_samples:  # batches of one epoch have most samples in common
        return 1.0
    rows = num_samples / num_chunks  # of a chunk
    # Of its chunk a batch has a random part, without replacement.
    left = max(0.0, (rows / batch_size - concentration) / (rows - 1)) if rows > 1 else 0.0
    found = spread.within * left + spread.between * max(0.0, concentration - 1 / num_chunks)
    full = total / batch_size * max(0.0, num_samples - batch_size) / max(1, num_samples - 1)
    return 1.0 if found <= full else full / found


def planned_variety(spread: ClassSpread, streams: Streams) -> float:
    """Return the variety of the batches over all ranks that a plan makes, whose chunks come in random order."""
    return variety(
        spread,
        float(batch_concentrations(streams, served=range(streams.num_streams)).mean()),
        batch_size=streams.share * streams.num_streams,
        num_chunks=streams.dealing.num_chunks,
        num_samples=streams.num_rows,
    )


def _beginning(part: StreamPart) -> StreamPart:
    """Return the part, cut after its first arrivals where it has very many."""
    if len(part.chunks) <= _MOST_ARRIVALS or part.stops is None:
        return part
    kept = slice(_MOST_ARRIVALS)
    dealing = Dealing(_MOST_ARRIVALS, part.dealing.window)
    return replace(part, chunks=part.chunks[kept], starts=part.starts[kept], stops=part.stops[kept], dealing=dealing)


# Of a segment: its chunks, the rows that it has of each, and how many of all these a batch takes.
_Draw = tuple[np.ndarray, np.ndarray, int]


def _draws(part: StreamPart, start: int, stop: int) -> Iterator[_Draw]:
    """Yield what a batch with rows [start, stop) of a stream draws from each segment."""
    bounds = part.bounds
    first = int(np.searchsorted(bounds, start, side="right")) - 1
    for segment in range(first, len(bounds) - 1):
        taken = min(stop, int(bounds[segment + 1])) - max(start, int(bounds[segment]))
        if bounds[segment] >= stop:
            return
        if taken > 0:
            yield *_rows_of_segment(part, segment), taken


def _rows_of_segment(part: StreamPart, segment: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the chunks that deal to a segment, and how many rows each gives it."""
    dealing = part.dealing
    arrivals = np.arange(dealing.first_arrival(segment), segment + 1)
    sizes = part.sizes[arrivals]
    if part.row_seed is None:
        return part.chunks[segment : segment + 1], sizes[-1:]
    # The hands that a chunk gives to a segment follow one another: at the edges several, else one.
    hands = segment - arrivals
    firsts = np.where(segment == dealing.first_segment, 0, hands)
    lasts = np.where(segment == dealing.num_chunks - 1, dealing.width, hands + 1)
    phases = part.phases[arrivals]
    return part.chunks[arrivals], (lasts * sizes + phases) // dealing.width - (firsts * sizes + phases) // dealing.width


def _concentration(draws: Sequence[_Draw]) -> float:
    """Return the expectation of the sum of squared shares in a batch that is made of draws without replacement."""
    chunks = np.concatenate([draw[0] for draw in draws])
    means, variances = [], []
    for _, rows, taken in draws:
        total = int(rows.sum())
        shares = rows / total
        means.append(taken * shares)
        variances.append(taken * shares * (1 - shares) * ((total - taken) / max(1, total - 1)))
    _, places = np.unique(chunks, return_inverse=True)  # a chunk may be in several segments, and in several streams
    sums = np.bincount(places, np.concatenate(means))
    return float(((sums**2).sum() + sum(map(np.sum, variances))) / sum(draw[2] for draw in draws) ** 2)
