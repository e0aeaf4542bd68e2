"""DiskSource: samples that Python functions read, ahead of the compiled code that uses them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from pyloader.deliver import Budget, Steps, end_with, map_in_order
from pyloader.jax.epochs import Taking, take_places
from pyloader.jax.host import HostCall, as_dtype
from pyloader.jax.order import OrderedSource, places_in_order
from pyloader.jax.source import PyTree, with_rows
from pyloader.options import checked_integer

__all__ = ["DiskSampleSource", "DiskSource"]

_Place: TypeAlias = tuple[tuple[int, int], int, int]  # key, epoch, position


class DiskSource(OrderedSource):
    """Samples that a Python function reads, from files, a database, or anywhere.

    A step asks for its rows by the state (a key, the epoch, the position), which alone decides them; the rows of the
    steps to come are read in threads meanwhile.  A step that is not the one expected (another state, or another batch
    size) is answered too, and the reading begins anew from there.

    Args:
      length: How many samples there are.
      sample_fn: Index -> a tree of arrays, one sample.
      sample_spec: The shapes and dtypes of a sample, a tree of jax.ShapeDtypeStruct; unless given, sample 0 is read.
      ordering: "shuffle" over all samples, or "sequential".
      prefetch_size: About how many samples are read ahead; at least the next batch is.
      rows_fn: Indices (int64 array [n]) -> a tree of arrays [n, ...], where many are read faster together.  Given
        instead of `sample_fn`, or beside it.
      num_workers: Threads that read; 0 reads when asked, in the caller's.

    Raises:
      ValueError: no samples, more than 2^31 - 1, a number below its bound, an ordering that does not exist.
      TypeError: neither `sample_fn` nor `rows_fn`, or a `sample_spec` of something else.
    """

    def __init__(
        self,
        length: int,
        sample_fn: Callable[[int], PyTree] | None = None,
        sample_spec: PyTree | None = None,
        ordering: str = "shuffle",
        prefetch_size: int = 64,
        *,
        rows_fn: Callable[[np.ndarray], PyTree] | None = None,
        num_workers: int = 1,
    ) -> None:
        super().__init__(length, ordering)
        self._prefetch_size = checked_integer("prefetch_size", prefetch_size, at_least=1)
        self._num_workers = checked_integer("num_workers", num_workers, at_least=0)
        read = _one_by_one(sample_fn) if rows_fn is None else rows_fn
        self._spec = _spec_of_first(read) if sample_spec is None else sample_spec
        leaves = jax.tree.leaves(self._spec)
        if not leaves or not all(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in leaves):
            raise TypeError(f"sample_spec must be a tree of jax.ShapeDtypeStruct, got {sample_spec!r}")
        self._spec = jax.tree.map(_as_jax_has_it, self._spec)
        self._reading = _Reading(read, self._spec, length, self.ordering)
        self._readers: dict[tuple[int, str], _ReadAhead] = {}
        self.host_calls: list[HostCall] = []

    def element_spec(self) -> PyTree:
        """Return the shapes and dtypes of one sample."""
        return self._spec

    def next_rows(self, state: dict[str, Any], count: int, last_batch: str) -> tuple[PyTree, Any, dict[str, Any]]:
        """Return the next `count` samples, which of them are real, and the state after them."""
        if (count, last_batch) not in self._readers:
            steps_ahead = -(-self._prefetch_size // count)
            reader = _ReadAhead(
                self._reading, count, last_batch, steps_ahead=steps_ahead, num_threads=self._num_workers
            )
            self._readers[count, last_batch] = reader
            self.host_calls.append(reader.call)
        number = jax.ShapeDtypeStruct((), jnp.uint32)
        answer = (with_rows(self._spec, count), jax.ShapeDtypeStruct((count,), jnp.bool_), number, number)
        # The host answers with the state as well: the next call cannot begin before this one has ended.
        call = self._readers[count, last_batch].call
        words = jnp.asarray(state["key"])
        rows, mask, epoch, position = call(answer, words, state["epoch"], state["position"])
        return rows, mask, {"key": words, "epoch": epoch, "position": position}

    def close(self) -> None:
        """End the threads that read ahead; a later step begins new ones."""
        for reader in self._readers.values():
            reader.close()


DiskSampleSource = DiskSource


@dataclass(frozen=True)
class _Reading:
    """What reading rows takes.  It does not know the source, so that threads do not keep that alive."""

    rows_fn: Callable[[np.ndarray], PyTree]
    spec: PyTree
    length: int
    ordering: str

    def requests(self, place: _Place, count: int, last_batch: str) -> Iterator[Taking]:
        """Yield which places the step at `place` takes, and all steps after it."""
        epoch, position = np.array([place[1]], np.uint32), np.array([place[2]], np.uint32)
        while True:
            taking = take_places(np, epoch, position, count=count, length=self.length, last_batch=last_batch)
            yield taking
            epoch, position = taking.epoch, taking.position

    def read(self, words: np.ndarray, taking: Taking) -> tuple[PyTree, np.ndarray, np.uint32, np.uint32]:
        """Return the rows at some places, their mask, and the epoch and position after them."""
        indices = places_in_order(words, taking.epochs, taking.places, self.length, self.ordering)
        rows = self.rows_fn(indices[taking.mask].astype(np.int64))
        rows = jax.tree.map(lambda like, leaf: _padded(leaf, like, taking.mask), self.spec, rows)
        return rows, taking.mask, taking.epoch[0], taking.position[0]


class _ReadAhead:
    """The answers to one step after another, read before they are asked for.

    Attributes:
      call: What compiled code calls: (key, epoch, position) -> (rows, mask, epoch, position).
    """

    def __init__(self, reading: _Reading, count: int, last_batch: str, *, steps_ahead: int, num_threads: int) -> None:
        self._reading, self._count, self._last_batch = reading, count, last_batch
        self._steps_ahead, self._num_threads = steps_ahead, num_threads
        self._answers: Iterator[Any] | None = None
        self._budget = Budget(steps_ahead, blocking=num_threads > 0)
        self._end: Callable[[], None] | None = None
        self._expected: _Place | None = None
        self.call = HostCall(self._answer)

    def close(self) -> None:
        """End the threads."""
        if self._end is not None:
            self._end()
        self._answers = self._end = self._expected = None

    def _answer(self, words: np.ndarray, epoch: np.ndarray, position: np.ndarray) -> Any:
        key = int(words[0]), int(words[1])
        place = key, int(epoch), int(position)
        if self._answers is None or place != self._expected:
            self._begin(place)
        assert self._answers is not None
        try:
            answer = next(self._answers)
        except BaseException:
            self.close()  # who asks again is told again
            raise
        self._budget.give_back()
        self._expected = key, int(answer[2]), int(answer[3])
        return answer

    def _begin(self, place: _Place) -> None:
        self.close()
        steps = Steps()
        self._budget = Budget(self._steps_ahead, blocking=self._num_threads > 0)
        self._answers = steps.add(
            map_in_order(
                partial(self._reading.read, np.array(place[0], np.uint32)),
                self._reading.requests(place, self._count, self._last_batch),
                num_threads=self._num_threads,
                budget=self._budget,
                name="disk",
                describe=lambda taking: f"epoch {taking.epochs[0]}, place {taking.places[0]}",
            )
        )
        self._end = end_with(self, steps)


def _one_by_one(sample_fn: Callable[[int], PyTree] | None) -> Callable[[np.ndarray], PyTree]:
    if sample_fn is None:
        raise TypeError("DiskSource needs sample_fn (index -> sample), or rows_fn (indices -> rows)")

    def read(indices: np.ndarray) -> PyTree:
        return jax.tree.map(lambda *leaves: np.stack(leaves), *[sample_fn(int(index)) for index in indices])

    return read


def _spec_of_first(read: Callable[[np.ndarray], PyTree]) -> PyTree:
    first = jax.tree.map(np.asarray, read(np.zeros(1, np.int64)))
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), first)


def _as_jax_has_it(spec: Any) -> Any:
    dtype = jnp.asarray(np.zeros(0, spec.dtype)).dtype  # int32 for int64, unless 64 bits are switched on
    return jax.ShapeDtypeStruct(spec.shape, dtype)


def _padded(answer: Any, like: Any, mask: np.ndarray) -> np.ndarray:
    rows: np.ndarray = np.asarray(answer)
    num_rows = int(mask.sum())
    if rows.shape != (num_rows, *like.shape):
        raise ValueError(
            f"the samples read have the shape {list(rows.shape[1:])} ({len(rows)} of them), and should have "
            f"{list(like.shape)} ({num_rows}), as sample_spec says"
        )
    rows = as_dtype(rows, like.dtype)
    if num_rows == len(mask):
        return rows
    padded: np.ndarray = np.concatenate([rows, np.zeros((len(mask) - num_rows, *like.shape), rows.dtype)])
    return padded
