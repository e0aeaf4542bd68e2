"""Source: the contract of everything that gives samples inside jit, and of what stands on top of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import jax

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    StateT = TypeVar("StateT", default=Any)  # Source alone will do; Python has defaults from 3.13 on
else:
    from typing import TypeVar

    StateT = TypeVar("StateT")

__all__ = [
    "PyTree",
    "RowsFunction",
    "Source",
    "SourceTransform",
    "State",
    "checked_batch_rule",
    "mask_shape",
    "rows_function",
    "stages",
    "with_rows",
]

PyTree: TypeAlias = Any
State: TypeAlias = Any
# (state, count, last_batch) -> (rows [count, ...], mask [count], state)
RowsFunction: TypeAlias = Callable[[State, int, str], tuple[PyTree, Any, State]]

_RULES = ("pad", "drop", "wrap", "span")


class Source(Protocol[StateT]):
    """A stream of elements, as pure functions of a state that jit can trace.

    A source may have more:

      next_rows(state, count, last_batch)  several rows in one go: BatchTransform uses it instead of many `next`
      next_block(state, count)             several elements for one call to the host, at most `block_steps`
      next_on_host(state)                  the same as `next`, as NumPy arrays: what a loop outside of jit uses
      mask_shape                           where the mask is not one bool
      rows_per_element                     where an element is that many rows, for BatchTransform to cut anew
      host_calls                           what it calls in Python while compiled code runs
      order_of(state)                      what its order depends on beside the state
      close()                              where there are threads to end

    Attributes:
      steps_per_epoch: How many elements an epoch has.
    """

    steps_per_epoch: int

    def init_state(self, key: Any) -> StateT:
        """Return the state before the first element.

        Args:
          key: A key of jax.random, or an integer seed >= 0.
        """

    def next(self, state: StateT) -> tuple[PyTree, Any, StateT]:
        """Return (element, mask, state after it).

        The mask is a bool, or a bool array with one value for each of the element's rows: whether it is real.
        """

    def element_spec(self) -> PyTree:
        """Return the element's tree with a jax.ShapeDtypeStruct for each array."""


class SourceTransform(Source[StateT], Protocol[StateT]):
    """A source that stands on another one.

    Attributes:
      inner: The source that it takes elements from.
    """

    inner: Source


def rows_function(source: Source) -> RowsFunction | None:
    """Return the function that gives several rows of `source` at once; None when there is none."""
    return getattr(source, "next_rows", None)


def mask_shape(source: Source) -> tuple[int, ...]:
    """Return the shape of the masks of `source`: () for one bool an element."""
    shape: tuple[int, ...] = getattr(source, "mask_shape", ())
    return shape


def stages(source: Source) -> list[Source]:
    """Return `source` and all that it stands on, the last stage first."""
    found = [source]
    while (inner := getattr(found[-1], "inner", None)) is not None:
        found.append(inner)
    return found


def with_rows(spec: PyTree, *num_rows: int) -> PyTree:
    """Return `spec` with leading axes of these lengths."""
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((*num_rows, *leaf.shape), leaf.dtype), spec)


def checked_batch_rule(rule: Any) -> str:
    """Return the rule for an epoch's last rows.

    Raises:
      ValueError: it is none of them.
    """
    if rule not in _RULES:
        raise ValueError(f'last_batch must be "pad", "drop", "wrap" or "span", not {rule!r}')
    return str(rule)
