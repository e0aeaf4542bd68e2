"""State: what a jitted pipeline has given so far, as a tree of plain arrays, and as JSON."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pyloader.errors import StateError
from pyloader.jax.source import Source, stages
from pyloader.plan import check_version

__all__ = ["STATE_VERSION", "LoaderState", "is_traced", "json_from_state", "state_from_json"]

STATE_VERSION = 1

LoaderState = dict[str, Any]


def is_traced(tree: Any) -> bool:
    """Tell whether JAX is tracing: whether `tree` stands for values that are not there yet."""
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(tree))


def json_from_state(source: Source, state: LoaderState) -> dict[str, Any]:
    """Return `state` as lists and numbers, with what the order depends on beside it."""
    arrays = jax.tree.map(lambda leaf: np.asarray(leaf).tolist(), state)
    return {"version": STATE_VERSION, "state": arrays, "order": _order_of(source, state)}


def state_from_json(source: Source, saved: Any) -> LoaderState:
    """Return the state that `saved` holds.

    Raises:
      StateError: it is none, or that of another pipeline.
    """
    check_version(saved, STATE_VERSION)
    like = source.init_state(0)
    try:
        state: LoaderState = jax.tree.map(_array_like, like, saved["state"])
    except (KeyError, TypeError, ValueError, OverflowError) as exc:
        raise StateError(
            f"the state was saved from another pipeline: {exc}.", f"This one is DataLoader([{source!r}])"
        ) from exc
    head, saved_order = stages(source)[-1], saved.get("order")
    if hasattr(head, "load_order"):
        head.load_order(saved_order)
    elif (order := _order_of(source, state)) != saved_order:
        raise StateError(
            f"the state was saved over {saved_order}; this pipeline has {order}.", "Give it the data it was saved over"
        )
    return state


def _order_of(source: Source, state: LoaderState) -> Any:
    head = stages(source)[-1]
    if not hasattr(head, "order_of"):
        return None
    while "inner" in state:
        state = state["inner"]
    return head.order_of(state)


def _array_like(like: Any, value: Any) -> Any:
    array = np.array(value, like.dtype)
    if array.shape != like.shape:
        raise ValueError(f"an array of the shape {list(array.shape)} where {list(like.shape)} is needed")
    return jnp.asarray(array)
