"""BatchTransform: rows become batches of one size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from pyloader.jax.epochs import num_batches
from pyloader.jax.source import PyTree, Source, SourceTransform, as_source, with_rows
from pyloader.options import checked_integer, checked_word

__all__ = ["BatchTransform"]


@dataclass(frozen=True)
class BatchTransform:
    """Batches of one size, so that what uses them is compiled once.

    An epoch's last rows, when they make no whole batch, are treated as `last_batch` says:

      "pad"   (unless given) the batch is filled with zeros, and the mask is False there: every sample once an epoch
      "drop"  they are left out
      "wrap"  the batch is filled with the rows before them, of the same epoch; the mask is True
      "span"  the batch goes on with the first rows of the next epoch; the mask is True.  An epoch's
              `steps_per_epoch` batches then have more rows than the epoch, and the next one begins as many rows later

    >>> from pyloader.jax import ArraySource, DataLoader
    >>> loader = DataLoader([ArraySource({"x": jnp.arange(3)}, "sequential"), BatchTransform(2)])
    >>> [(batch["x"].tolist(), mask.tolist()) for batch, mask in loader.iterate(loader.init_state(0))]
    [([0, 1], [True, True]), ([2, 0], [True, False])]

    Over a source whose elements are themselves several rows (BufferTransform with sample_size > 1, ChunkSource) the
    rows are cut anew, `batch_size` at a time.

    Args:
      batch_size: Rows in a batch.
      drop_last: Another way to write last_batch="drop".
      pad_last_batch: True is another way to write last_batch="pad"; False, where nothing else is said, is "span".
      element_spec_override: The shapes and dtypes of a row, where the source tells them wrongly.
      last_batch: The rule.

    Raises:
      ValueError: a size below 1, a rule that does not exist or two that contradict each other; when it is put on a
        source, "drop" of an epoch shorter than a batch.
    """

    batch_size: int
    drop_last: bool = False
    pad_last_batch: bool | None = None
    element_spec_override: PyTree | None = None
    last_batch: str | None = None

    def __post_init__(self) -> None:
        checked_integer("batch_size", self.batch_size, at_least=1)
        said = {rule for rule, told in (("drop", self.drop_last), ("pad", self.pad_last_batch)) if told}
        if self.last_batch is not None:
            said.add(checked_word("last_batch", self.last_batch, "pad", "drop", "wrap", "span"))
        if self.pad_last_batch is False and "pad" in said:
            raise ValueError('last_batch="pad" and pad_last_batch=False contradict each other: leave one of them out')
        if len(said) > 1:
            raise ValueError(f'the last batch cannot be both {" and ".join(sorted(said))}. Write one: last_batch="pad"')
        unsaid = "span" if self.pad_last_batch is False else "pad"
        object.__setattr__(self, "last_batch", said.pop() if said else unsaid)

    def __call__(self, inner: Source) -> Source:
        """Return the batches of `inner`."""
        assert self.last_batch is not None
        inner = as_source(inner)
        if inner.rows_per_element is not None:
            inner = _RowByRow(inner, inner.rows_per_element)
        spec = inner.element_spec() if self.element_spec_override is None else self.element_spec_override
        kind = _Stacked if inner.next_rows is None else _Gathered
        return kind(inner, self.batch_size, self.last_batch, spec)


class _Batches(SourceTransform):
    """What both kinds of batches have in common."""

    def __init__(self, inner: Source, batch_size: int, last_batch: str, row_spec: PyTree) -> None:
        self.inner, self.batch_size, self.last_batch, self._row_spec = inner, batch_size, last_batch, row_spec
        self.mask_shape = (batch_size, *inner.mask_shape)
        self.steps_per_epoch = num_batches(inner.steps_per_epoch, batch_size, last_batch)

    def __repr__(self) -> str:
        return f"{self.inner!r}, BatchTransform({self.batch_size}, last_batch={self.last_batch!r})"

    def element_spec(self) -> PyTree:
        return with_rows(self._row_spec, self.batch_size)


class _Gathered(_Batches):
    """Batches of a source that gives many rows at once, and knows where its epoch ends."""

    def init_state(self, key: Any) -> Any:
        return self.inner.init_state(key)

    def next(self, state: Any) -> tuple[PyTree, Any, Any]:
        assert self.inner.next_rows is not None
        return self.inner.next_rows(state, self.batch_size, self.last_batch)


class _Stacked(_Batches):
    """Batches of any other source, element by element."""

    def init_state(self, key: Any) -> dict[str, Any]:
        state = {"inner": self.inner.init_state(key), "position": jnp.uint32(0)}
        if self.last_batch == "wrap":
            state["latest"] = {"rows": self._empty_rows(), "mask": jnp.zeros(self.mask_shape, bool)}
        return state

    def next(self, state: dict[str, Any]) -> tuple[PyTree, Any, dict[str, Any]]:
        inner_state, position = state["inner"], jnp.asarray(state["position"])
        if self.last_batch == "drop":
            inner_state, position = self._after_dropping(inner_state, position)
        size, length = jnp.uint32(self.batch_size), jnp.uint32(self.inner.steps_per_epoch)
        left = length - position
        count = size if self.last_batch == "span" else jnp.minimum(size, left)
        inner_state, rows, mask = self._stacked(inner_state, count)
        after = position + size
        after = after % length if self.last_batch == "span" else jnp.where(after >= length, jnp.uint32(0), after)
        state_after = {"inner": inner_state, "position": after}
        if self.last_batch == "wrap":
            found = {"rows": rows, "mask": mask}
            state_after["latest"] = _filled(found, count, before=state["latest"], has_before=position >= size)
            rows, mask = state_after["latest"]["rows"], state_after["latest"]["mask"]
        return rows, mask, state_after

    def _stacked(self, inner_state: Any, count: Any) -> tuple[Any, PyTree, Any]:
        """Return the state after the next `count` elements, and these, followed by zeros."""
        inner_mask_shape = self.mask_shape[1:]

        def add(number: Any, carry: Any) -> Any:
            inner_state, rows, mask = carry
            row, real, inner_state = self.inner.next(inner_state)
            real = jnp.asarray(real) if inner_mask_shape else jnp.all(jnp.asarray(real))
            return (
                inner_state,
                jax.tree.map(lambda many, one: many.at[number].set(one), rows, row),
                mask.at[number].set(real),
            )

        empty = self._empty_rows(), jnp.zeros(self.mask_shape, bool)
        stacked: tuple[Any, PyTree, Any] = jax.lax.fori_loop(jnp.uint32(0), count, add, (inner_state, *empty))
        return stacked

    def _after_dropping(self, inner_state: Any, position: Any) -> tuple[Any, Any]:
        """Return the state and position after an epoch's rest that makes no batch."""
        left = jnp.uint32(self.inner.steps_per_epoch) - position
        dropped = jnp.where(left < self.batch_size, left, jnp.uint32(0))
        inner_state = jax.lax.fori_loop(jnp.uint32(0), dropped, lambda _, state: self.inner.next(state)[2], inner_state)
        return inner_state, jnp.where(dropped > 0, jnp.uint32(0), position)

    def _empty_rows(self) -> PyTree:
        return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), self.element_spec())


class _RowByRow(SourceTransform):
    """The rows of a source whose elements are several rows, one by one."""

    def __init__(self, inner: Source, num_rows: int) -> None:
        self.inner, self._num_rows = inner, num_rows
        self.steps_per_epoch = inner.steps_per_epoch * num_rows

    def __repr__(self) -> str:
        return repr(self.inner)

    def element_spec(self) -> PyTree:
        return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), self.inner.element_spec())

    def init_state(self, key: Any) -> dict[str, Any]:
        rows = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), self.inner.element_spec())
        mask, used = jnp.zeros(self._num_rows, bool), jnp.uint32(self._num_rows)
        return {"inner": self.inner.init_state(key), "rows": rows, "mask": mask, "used": used}

    def next(self, state: dict[str, Any]) -> tuple[PyTree, Any, dict[str, Any]]:
        def refilled(state: dict[str, Any]) -> dict[str, Any]:
            rows, mask, inner_state = self.inner.next(state["inner"])
            return {"inner": inner_state, "rows": rows, "mask": mask, "used": jnp.uint32(0)}

        state = jax.lax.cond(state["used"] >= self._num_rows, refilled, dict, state)
        row = jax.tree.map(lambda leaf: leaf[state["used"]], state["rows"])
        return row, state["mask"][state["used"]], {**state, "used": state["used"] + jnp.uint32(1)}


def _filled(rows: PyTree, count: Any, *, before: PyTree, has_before: Any) -> PyTree:
    """Return `rows` with what follows the first `count` taken from the batch `before`, or else from the first again."""

    def fill(leaf: Any, earlier: Any) -> Any:
        places = jnp.arange(leaf.shape[0], dtype=jnp.uint32)
        again = leaf[places % count]
        is_new = (places < count).reshape(-1, *[1] * (leaf.ndim - 1))
        return jnp.where(is_new, leaf, jnp.where(has_before, earlier, again))

    return jax.tree.map(fill, rows, before)
