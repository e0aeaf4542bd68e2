"""Adapters: objects between a loader and the loop, which hand its batches on and answer for its position.

An adapter may take batches from the loader before the loop wants them.  Only the outermost of several knows what the
loop has received, so only the outermost has a state.
"""

from __future__ import annotations

import math
import weakref
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Generic, Self, TypeVar

from pyloader.deliver import Closing, Turn, not_a_stop, this_thread
from pyloader.errors import ConcurrentUseError, StateError
from pyloader.markup import notebook_table
from pyloader.observe import Counters, metrics_of
from pyloader.options import checked_integer, checked_seconds
from pyloader.run.tracing import Traced

__all__ = ["DeliveredState", "HasPosition", "LoaderAdapter"]

Batch = TypeVar("Batch")


@dataclass(frozen=True, slots=True)
class DeliveredState:
    """What the loop had received after some batch."""

    state: dict[str, Any]  # for `load_state_dict`
    steps_done: int  # batches, over all epochs; counted on by a loader that resumes
    epochs_done: int  # epochs delivered to their end
    num_steps: int  # batches since the loader was made
    num_samples: int  # their samples


@dataclass(slots=True)
class _AdapterLink:
    """What a loader knows of the adapter around it, also after the adapter was garbage-collected."""

    adapter: weakref.ref[Any]  # the adapter
    name: str  # its class
    received: DeliveredState  # what it has handed to the loop


class HasPosition(Closing, Traced, ABC):
    """A source of batches with a position.  An adapter around it answers for the position in its place."""

    _adapter_link: _AdapterLink | None = None
    _turn: Turn

    def __bool__(self) -> bool:
        return True  # not by len(), which an endless one does not have

    def state_dict(self) -> dict[str, Any]:
        """Return what the loop has received, as small JSON; a fresh loader that loads it goes on with the next batch.

        It is the same on all ranks: save one.

        Raises:
          StateError: this loader is wrapped; its wrapper knows what the loop has received.
        """
        self._check_outermost("state_dict()")
        return self._delivered().state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with the batch after `state`.

        On another number of ranks than it was saved on the batches over all ranks are the same, when that number
        divides the state's num_streams, and batch_size is such that they have as many samples.

        Raises:
          StateError: the state was saved with other chunks or another order, and the message says what to write; or
            this loader is wrapped.
        """
        self._check_outermost("load_state_dict(state)")
        with self._turn.moving("load_state_dict()", self._interrupt):
            self._load(state)

    def reset(self) -> None:
        """Go back to the start of epoch 0.

        Raises:
          StateError: this loader is wrapped; its wrapper has batches that come before.
        """
        self._check_outermost("reset()")
        with self._turn.moving("reset()", self._interrupt):
            self._reset()

    def skip(self, num_steps: int) -> None:
        """Leave out the next `num_steps` batches, without reading them; the state counts them as received.

        Raises:
          DataDirError: the chunks' counts are unknown.
          ValueError: `num_steps` is below 0.
          StateError: this loader is wrapped; its wrapper knows which batches are next.
        """
        self._check_outermost("skip(num_steps)")
        with self._turn.moving("skip()", self._interrupt):
            self._skip(num_steps)

    def _repr_html_(self) -> str:  # what notebooks show
        stats, steps_per_epoch = self.stats(), getattr(self, "steps_per_epoch", None)
        steps, epochs = self.steps_done, self.epochs_done
        rows = [
            ("loader", repr(self)),
            ("position", f"{steps:,} steps and {epochs:,} whole epoch{'' if epochs == 1 else 's'} done"),
            ("an epoch", "has unknown length" if steps_per_epoch is None else f"{steps_per_epoch:,} steps"),
            (
                "so far",
                f"{stats.samples_per_second:,.0f} samples/s; the loop waits {stats.waiting_share:.0%} of its time",
            ),
            ("waits for", stats.verdict),
        ]
        return notebook_table(type(self).__name__, rows[: 3 + (stats.num_steps > 0) + bool(stats.verdict)])

    def metrics(self) -> dict[str, float]:
        """Return what has been counted as one flat dict: docs/seeing.md says what each number is.

        Names end with their units, where they have one.  Those that this kind of loader does not have are left out.
        """
        return metrics_of(self.stats(), steps_done=self.steps_done, epochs_done=self.epochs_done)

    def add_observer(
        self, observe: Callable[[dict[str, float]], Any], *, every: int = 50, every_seconds: float | None = None
    ) -> Callable[[], None]:
        """Have a function called with `metrics()`, in the loop's own thread: after the next batch, then regularly.

        It is called once more when the run ends.  An error in it is a warning in the log and ends its calls, not the
        run.

        Args:
          observe: The function.
          every: After how many batches.
          every_seconds: After how many seconds instead, with the batch that comes next.

        Returns:
          A function that ends the calls.
        """
        seconds = None if every_seconds is None else checked_seconds("every_seconds", every_seconds)
        return self._observed(
            lambda outermost: observe(outermost.metrics()),
            every_steps=checked_integer("every", every, at_least=1) if seconds is None else math.inf,
            every_seconds=math.inf if seconds is None else seconds,
        )

    def _observed(
        self, observe: Callable[[HasPosition], Any], *, every_steps: float = math.inf, every_seconds: float = math.inf
    ) -> Callable[[], None]:
        me = weakref.ref(self)  # what a loader counts with must not keep it alive

        def observe_now() -> None:
            loader: HasPosition | None = me()
            while loader is not None and (link := loader._adapter_link) is not None:
                loader = link.adapter()  # the outermost knows what the loop has received
            if loader is not None:
                observe(loader)

        observers = self._counters_of_loader().observers
        return observers.add(observe_now, every_steps=every_steps, every_seconds=every_seconds)

    def _check_outermost(self, call: str) -> None:
        self._unwrap_if_left()
        if self._adapter_link is not None:
            name = self._adapter_link.name
            what = f"this {type(self).__name__} is wrapped in a {name}, which takes batches before the loop gets them."
            raise StateError(what, f"Ask the outermost: the {name}'s {call}")

    def _unwrap_if_left(self) -> None:
        """Detach from an adapter that was garbage-collected."""
        if self._adapter_link is not None and self._adapter_link.adapter() is None:
            self._unwrap()

    def _unwrap(self) -> None:
        """Detach from the adapter, and go back to what the loop has received, if the adapter has taken more."""
        link, self._adapter_link = self._adapter_link, None
        if link is not None and link.received.state != self._delivered().state:
            self._load(link.received.state)

    @property
    @abstractmethod
    def steps_done(self) -> int:
        """How many batches the loop has received, over all epochs; counted on by a loader that resumes."""

    @property
    @abstractmethod
    def epochs_done(self) -> int:
        """How many epochs the loop has received to their end."""

    @abstractmethod
    def stats(self) -> Any:
        """Return what has been delivered, what was left out, and where the time went."""

    @abstractmethod
    def _counters_of_loader(self) -> Counters:
        """Return what the loader counts with, below all adapters."""

    @abstractmethod
    def close(self) -> None:
        """End its threads and processes."""

    @abstractmethod
    def _delivered(self) -> DeliveredState: ...

    @abstractmethod
    def _interrupt(self, error: ConcurrentUseError) -> None:
        """End the `next` that another thread is inside of, with this error."""

    @abstractmethod
    def _load(self, state: dict[str, Any]) -> None: ...

    @abstractmethod
    def _reset(self) -> None: ...

    @abstractmethod
    def _skip(self, num_steps: int) -> None: ...


class LoaderAdapter(HasPosition, Generic[Batch]):
    """Hands on the batches of a loader, each as `convert` makes it, some of them ahead of the loop.

    `state_dict`, `steps_done`, `epochs_done`, `peek` and `stats` are those of the batch last handed to the loop.  A
    loader that gets another adapter, in every epoch say, goes on where the loop is; the one before has no more batches.

    Args:
      loader: A DataLoader, or another adapter; from now on this object is asked for the state.
      convert: Called with each batch as soon as it is there; returns what the loop receives.
      size: How many batches are converted before the loop asks: with 2, one is on its way while one is worked on.
    """

    def __init__(self, loader: Any, convert: Callable[[Any], Batch], *, size: int = 1) -> None:
        name = type(self).__name__
        if not isinstance(loader, HasPosition):
            raise TypeError(f"{name} wraps a pyloader DataLoader or another wrapper, not a {type(loader).__name__}")
        self._turn = Turn(name)
        loader._unwrap()
        self._loader_link = _AdapterLink(weakref.ref(self), name, loader._delivered())
        loader._adapter_link = self._loader_link
        self._loader: Any = loader
        self._convert, self._size = convert, size
        self._ahead: deque[tuple[Batch, DeliveredState]] = deque()
        self._taken: tuple[Any] | None = None  # kept, so that a Ctrl-C during conversion does not lose it
        self._end: tuple[Exception, DeliveredState] | None = None
        self._is_in_for = False  # whether the loader's `for` has begun

    def __iter__(self) -> Self:
        with self._turn.alone("iter()"):
            self._unwrap_if_left()
            if not self._ahead:
                self._end, self._is_in_for = None, False
            # With batches of the loader's `for` in hand, that `for` goes on.  The loader, which may have delivered all
            # of its run, would begin the next one.
            if self._end is None and not self._is_in_for:
                iter(self._loader)
                self._is_in_for = True
            self._turn.begin_for()
        return self

    def __next__(self) -> Batch:
        turn, received = self._turn, self._loader_link.received
        me, ahead = this_thread(), None
        try:
            if turn.take(0, me) != me or turn.moved is not None:
                turn.refuse(me)
            self._fill(self._size)
            ahead = self._ahead.copy()
            batch = self._handed()
            turn.leave()
            return batch
        except BaseException as exc:
            if ahead is not None and not isinstance(exc, Exception):  # Ctrl-C: the batch has not been received
                self._ahead, self._loader_link.received = ahead, received
            turn.leave_if_mine()
            raise

    def _handed(self) -> Batch:
        """Return the first batch taken ahead, and count it as received; raise the end or error when there is none."""
        if not self._ahead:
            assert self._end is not None
            error, self._loader_link.received = self._end
            if isinstance(error, StopIteration):
                self._turn.end_for()
                raise StopIteration
            raise error
        batch, self._loader_link.received = self._ahead.popleft()
        return batch

    def __len__(self) -> int:
        return len(self._loader)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._loader!r})"

    @property
    def steps_done(self) -> int:
        """How many batches the loop has received, over all epochs; counted on by a loader that resumes."""
        return self._delivered().steps_done

    @property
    def epochs_done(self) -> int:
        """How many epochs the loop has received to their end."""
        return self._delivered().epochs_done

    @property
    def steps_per_epoch(self) -> int | None:
        """How many batches an epoch has; None when the chunks have no manifest."""
        steps: int | None = self._loader.steps_per_epoch
        return steps

    def peek(self) -> Batch:
        """Return the batch that comes next, without using it up; at a run's end, the first of the next run."""
        with self._turn.alone("peek()"):
            self._fill(1)
            return self._ahead[0][0] if self._ahead else self._convert(self._loader.peek())

    def stats(self) -> Any:
        """Return the loader's stats, counted up to the batch last handed to the loop."""
        stats, handed = self._loader.stats(), self._delivered()
        rate = handed.num_samples / stats.loop_seconds if stats.loop_seconds else 0.0
        return replace(stats, num_steps=handed.num_steps, num_samples=handed.num_samples, samples_per_second=rate)

    def _counters_of_loader(self) -> Counters:
        counters: Counters = self._loader._counters_of_loader()
        return counters

    def close(self) -> None:
        """Close the loader, and drop what was taken from it."""
        self._loader.close()  # first: it ends the `next` of another thread
        me = this_thread()
        if self._turn.take(0, me) == me:
            self._ahead.clear()
            self._end = self._taken = None
            self._turn.leave()

    def _fill(self, size: int) -> None:
        """Take batches from the loader until `size` are there, or it has no more to give for now."""
        if self._loader._adapter_link is not self._loader_link:
            loader = type(self._loader).__name__
            what = f"the {loader} of this {type(self).__name__} has been wrapped anew, or iterated without it."
            raise StateError(what, "Use the newest, or keep one over all epochs")
        while len(self._ahead) < size and self._end is None:
            self._take()

    def _take(self) -> None:
        """Take one batch from the loader, or its end."""
        try:
            if self._taken is None:
                self._taken = (next(self._loader),)
            batch = self._convert(self._taken[0])
        except Exception as exc:  # raised after the batches before it
            if isinstance(exc, StopIteration) and self._taken is None:
                # Not kept itself: its traceback leads here, and this object would keep itself alive.
                self._end = (StopIteration(), self._loader._delivered())
            else:
                self._end = (not_a_stop(exc), self._ahead[-1][1] if self._ahead else self._delivered())
        else:
            self._ahead.append((batch, self._loader._delivered()))
            self._taken = None

    def _drop_ahead(self) -> None:
        self._ahead.clear()
        self._taken, self._end, self._is_in_for = None, None, False
        self._loader_link.received = self._loader._delivered()

    def _delivered(self) -> DeliveredState:
        return self._loader_link.received

    def _interrupt(self, error: ConcurrentUseError) -> None:
        self._loader._interrupt(error)

    def _load(self, state: dict[str, Any]) -> None:
        self._loader._load(state)
        self._drop_ahead()

    def _reset(self) -> None:
        self._loader._reset()
        self._drop_ahead()

    def _skip(self, num_steps: int) -> None:
        self._load(self._delivered().state)
        self._loader._skip(num_steps)
        self._drop_ahead()
