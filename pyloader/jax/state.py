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
    order = stages(source)[-1].order_of(_state_of_head(state))
    return {"version": STATE_VERSION, "state": arrays, "order": order}


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
    stages(source)[-1].load_order(saved.get("order"), _state_of_head(state))
    return state


def _state_of_head(state: Any) -> Any:
    while isinstance(state, dict) and "inner" in state:
        state = state["inner"]
    return state


def _array_like(like: Any, value: Any) -> Any:
    array = np.array(value, like.dtype)
    if array.shape != like.shape:
        raise ValueError(f"an array of the shape {list(array.shape)} where {list(like.shape)} is needed")
    return jnp.asarray(array)
