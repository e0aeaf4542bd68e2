"""Source: the contract of everything that gives samples inside jit, and of what stands on top of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeAlias

import jax

from pyloader.errors import StateError

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    StateT = TypeVar("StateT", default=Any)  # Source alone will do; Python has defaults from 3.13 on
else:
    from typing import TypeVar

    StateT = TypeVar("StateT")

__all__ = [
    "PyTree",
    "Source",
    "SourceTransform",
    "as_source",
    "is_source",
    "stages",
    "with_rows",
]

PyTree: TypeAlias = Any
_NEEDED = ("init_state", "next", "steps_per_epoch", "element_spec")


class Source(ABC, Generic[StateT]):
    """A stream of elements, as pure functions of a state that jit can trace.

    The methods that are abstract, and `steps_per_epoch`, are all that a source needs.  The rest has defaults.

    Attributes:
      steps_per_epoch: How many elements an epoch has.
      mask_shape: The shape of its masks: () for one bool an element.
      rows_per_element: Where an element is that many rows, for BatchTransform to cut anew.
      next_rows: (state, count, last_batch) -> (rows, mask, state): several rows in one go.  BatchTransform uses it
        instead of many `next`.
      next_on_host: The same as `next`, as NumPy arrays: what a loop outside of jit uses.
      next_block: (state, count) -> (elements, masks, state): several elements for one call to the host.
      block_steps: The most elements that `next_block` is asked for; 1 leaves it unused.
      host_calls: The HostCalls that compiled code makes, a list that may grow while JAX traces; None: it makes none.
    """

    steps_per_epoch: int
    mask_shape: tuple[int, ...] = ()
    rows_per_element: int | None = None
    next_rows: Callable[[StateT, int, str], tuple[PyTree, Any, StateT]] | None = None
    next_on_host: Callable[[StateT], tuple[PyTree, Any, StateT]] | None = None
    next_block: Callable[[StateT, int], tuple[PyTree, Any, StateT]] | None = None
    block_steps: int = 1
    host_calls: Sequence[Any] | None = None

    @abstractmethod
    def init_state(self, key: Any) -> StateT:
        """Return the state before the first element.

        Args:
          key: A key of jax.random, or an integer seed >= 0.
        """

    @abstractmethod
    def next(self, state: StateT) -> tuple[PyTree, Any, StateT]:
        """Return (element, mask, state after it).

        The mask is a bool, or a bool array with one value for each of the element's rows: whether it is real.
        """

    @abstractmethod
    def element_spec(self) -> PyTree:
        """Return the element's tree with a jax.ShapeDtypeStruct for each array."""

    def order_of(self, _state: StateT) -> Any:
        """Return, as JSON, what the order depends on beside the state."""
        return None

    def load_order(self, saved: Any, state: StateT) -> None:
        """Go on in the order that was saved with `state`.

        Raises:
          StateError: this source has another order.
        """
        if (order := self.order_of(state)) != saved:
            raise StateError(
                f"the state was saved over {saved}; this pipeline has {order}.", "Give it the data it was saved over"
            )

    def close(self) -> None:
        """End the threads that read ahead, where there are any."""


_HAVE_DEFAULTS = {name for name in vars(Source) if not name.startswith("_")} - set(_NEEDED)


class SourceTransform(Source[StateT]):
    """A source that stands on another one.

    Attributes:
      inner: The source that it takes elements from.
    """

    inner: Source  # without a default, which would become that of a field of this name in a dataclass of a user


class _Adopted(Source):
    """A source that has the methods without deriving from Source.  What it leaves out has the defaults."""

    def __init__(self, given: Any) -> None:
        self._given, self.steps_per_epoch = given, given.steps_per_epoch
        for name in (*_HAVE_DEFAULTS, "inner"):
            if hasattr(given, name):
                setattr(self, name, getattr(given, name))

    def __repr__(self) -> str:
        return repr(self._given)

    def init_state(self, key: Any) -> Any:
        return self._given.init_state(key)

    def next(self, state: Any) -> tuple[PyTree, Any, Any]:
        return self._given.next(state)  # type: ignore[no-any-return]

    def element_spec(self) -> PyTree:
        return self._given.element_spec()


def is_source(candidate: Any) -> bool:
    """Tell whether `candidate` has all that a source needs, whatever it derives from."""
    return not isinstance(candidate, type) and all(hasattr(candidate, name) for name in _NEEDED)


def as_source(candidate: Any) -> Source:
    """Return `candidate` itself, or, where it only has the methods of a source, a Source that calls these."""
    return candidate if isinstance(candidate, Source) else _Adopted(candidate)


def stages(source: Source) -> list[Source]:
    """Return `source` and all that it stands on, the last stage first."""
    found = [source]
    while (inner := getattr(found[-1], "inner", None)) is not None:
        found.append(as_source(inner))
    return found


def with_rows(spec: PyTree, *num_rows: int) -> PyTree:
    """Return `spec` with leading axes of these lengths."""
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((*num_rows, *leaf.shape), leaf.dtype), spec)
