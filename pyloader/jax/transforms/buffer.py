"""BufferTransform: samples from a buffer of those seen lately (fifo), or ever (reservoir)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pyloader.jax.order import key_of, key_words
from pyloader.jax.source import PyTree, Source, SourceTransform, as_source, with_rows
from pyloader.options import checked_integer, checked_word

__all__ = ["BufferTransform"]

_MOST = np.uint32(2**32 - 1)


@dataclass(frozen=True)
class BufferTransform:
    """Keep samples in a buffer, and give samples from it: a shuffle buffer, a replay buffer.

    The first step takes samples until `prefill` of them are in the buffer; each later one takes one more.  Every step
    gives `sample_size` rows of the buffer.  Samples whose mask is False are not kept.

      mode="sequential", write_mode="fifo", sample_size=1   a delay: every sample once, in order
      mode="shuffled"                                       rows drawn with replacement
      write_mode="reservoir"                                the buffer is a fair sample of all that were seen
                                                            (J. Vitter, Random Sampling with a Reservoir, 1985,
                                                            algorithm R; exact for the first 2^32 samples)

    With sample_size > 1 an element is that many rows, and BatchTransform after it cuts the rows anew: an epoch has
    steps_per_epoch * sample_size of them.

    Args:
      capacity: The most samples kept; they are part of the state.
      prefill: How many are kept before the first is given, at most `capacity`.
      sample_size: Rows given at each step, at most `prefill`.
      mode: "sequential" walks through the buffer, "shuffled" draws from it.
      write_mode: "fifo" forgets the oldest, "reservoir" a random one or the new one.

    Raises:
      ValueError: a number out of these bounds, or a mode that does not exist.
    """

    capacity: int
    prefill: int
    sample_size: int = 1
    mode: str = "sequential"
    write_mode: str = "fifo"

    def __post_init__(self) -> None:
        checked_integer("capacity", self.capacity, at_least=1)
        checked_integer("prefill", self.prefill, at_least=1)
        checked_integer("sample_size", self.sample_size, at_least=1)
        if self.prefill > self.capacity:
            raise ValueError(f"prefill={self.prefill} is more than the capacity of {self.capacity}")
        if self.sample_size > self.prefill:
            raise ValueError(f"sample_size={self.sample_size} is more than prefill={self.prefill}")
        checked_word("mode", self.mode, "sequential", "shuffled")
        checked_word("write_mode", self.write_mode, "fifo", "reservoir")

    def __call__(self, inner: Source) -> Source:
        """Return samples of a buffer over `inner`."""
        return _Buffered(inner, self)


class _Buffered(SourceTransform):
    def __init__(self, inner: Source, options: BufferTransform) -> None:
        self.inner, self._options = as_source(inner), options
        self.steps_per_epoch = inner.steps_per_epoch
        if options.sample_size > 1:
            self.rows_per_element = options.sample_size
            self.mask_shape = (options.sample_size,)

    def __repr__(self) -> str:
        return f"{self.inner!r}, {self._options}"

    def element_spec(self) -> PyTree:
        spec, size = self.inner.element_spec(), self._options.sample_size
        return spec if size == 1 else with_rows(spec, size)

    def init_state(self, key: Any) -> dict[str, Any]:
        mine, inner = jax.random.split(key_of(key_words(key)))
        rows = with_rows(self.inner.element_spec(), self._options.capacity)
        return {
            "inner": self.inner.init_state(inner),
            "key": jax.random.key_data(mine),
            "rows": jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), rows),
            **{name: jnp.uint32(0) for name in ("count", "written", "read", "seen")},
        }

    def next(self, state: dict[str, Any]) -> tuple[PyTree, Any, dict[str, Any]]:
        prefill, limit = self._options.prefill, self.inner.steps_per_epoch

        def wants_more(carry: Any) -> Any:
            state, taken = carry
            # An epoch without a real sample would otherwise never end.
            return (taken == 0) | ((state["count"] < prefill) & (taken < limit))

        def take_one(carry: Any) -> Any:
            return self._with_one_more(carry[0]), carry[1] + 1

        state, _ = jax.lax.while_loop(wants_more, take_one, (state, jnp.int32(0)))
        rows, mask, state = self._sample(state)
        if self._options.sample_size == 1:
            rows, mask = jax.tree.map(lambda leaf: leaf[0], rows), mask[0]
        return rows, mask, state

    def _with_one_more(self, state: dict[str, Any]) -> dict[str, Any]:
        sample, mask, inner_state = self.inner.next(state["inner"])
        is_real, capacity, one = jnp.all(jnp.asarray(mask)), jnp.uint32(self._options.capacity), jnp.uint32(1)
        key, mine = jax.random.split(key_of(state["key"]))
        seen = jnp.where(is_real & (state["seen"] < _MOST), state["seen"] + one, state["seen"])
        place = state["written"] % capacity
        if self._options.write_mode == "reservoir":
            drawn = jax.random.randint(mine, (), jnp.uint32(0), jnp.maximum(seen, one), dtype=jnp.uint32)
            place = jnp.where(state["count"] < capacity, place, drawn)
        place = jnp.where(is_real, place, capacity)  # beyond the end: nothing is written
        count = jnp.where(is_real, jnp.minimum(state["count"] + one, capacity), state["count"])
        written = jnp.where(is_real, (state["written"] + one) % capacity, state["written"])
        rows = jax.tree.map(lambda many, new: many.at[place].set(new, mode="drop"), state["rows"], sample)
        return {
            "inner": inner_state,
            "key": jax.random.key_data(key),
            "rows": rows,
            "count": count,
            "written": written,
            "read": state["read"],
            "seen": seen,
        }

    def _sample(self, state: dict[str, Any]) -> tuple[PyTree, Any, dict[str, Any]]:
        size, count = self._options.sample_size, state["count"]
        available = jnp.maximum(count, jnp.uint32(1))
        if self._options.mode == "sequential":
            places = (state["read"] + jnp.arange(size, dtype=jnp.uint32)) % available
            read = state["read"] + jnp.uint32(size)
            # Not wrapped where it is the end: by the next step the buffer may have grown there.
            state = {**state, "read": jnp.where(read > available, read % available, read)}
        else:
            key, mine = jax.random.split(key_of(state["key"]))
            places = jax.random.randint(mine, (size,), jnp.uint32(0), available, dtype=jnp.uint32)
            state = {**state, "key": jax.random.key_data(key)}
        mask = jnp.arange(size, dtype=jnp.uint32) < count
        return jax.tree.map(lambda leaf: leaf[places], state["rows"]), mask, state
