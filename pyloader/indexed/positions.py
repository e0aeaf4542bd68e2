"""Positions: where a loop stands, and the state that says so, with all that the order depends on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pyloader.errors import StateError
from pyloader.indexed.planning import BatchPlan
from pyloader.plan import order_digest

__all__ = ["STATE_VERSION", "Position", "position_from_state", "state_of"]

STATE_VERSION = 1


@dataclass(frozen=True, slots=True)
class Position:
    """A place between two batches.

    Attributes:
      step: How many batches of all epochs have been received.
      ended: Whether, where a run ends at this place, the end has been received too.
    """

    step: int = 0
    ended: bool = False


def state_of(position: Position, plan: BatchPlan) -> dict[str, Any]:
    """Return the state at `position`: JSON of less than 2 KB, the same on all ranks.

    It holds nothing that the order does not depend on: no worker counts, no prefetch_size, no num_epochs, no rank.
    """
    where = {"version": STATE_VERSION, "step": position.step, "ended": position.ended}
    return {**where, **_order(plan), "order_digest": order_digest()}


def position_from_state(state: Mapping[str, Any], plan: BatchPlan) -> Position:
    """Return the position that `state` holds.

    Raises:
      StateError: the state was saved under another order, or is none.
    """
    if not isinstance(state, Mapping) or state.get("version") != STATE_VERSION:
        found = f"version {state.get('version')!r}" if isinstance(state, Mapping) else f"a {type(state).__name__}"
        raise StateError(f"this is no state of version {STATE_VERSION} but {found}.", "Give what state_dict() returned")
    mine = _order(plan)
    if missing := [name for name in ("step", "ended", *mine, "order_digest") if name not in state]:
        raise StateError(f"the state lacks {missing[0]!r}.", "Give what state_dict() returned, unchanged")
    if differing := [name for name in mine if state[name] != mine[name]]:
        saved = ", ".join(f"{name}={state[name]!r}" for name in differing)
        here = ", ".join(f"{name}={mine[name]!r}" for name in differing)
        raise StateError(f"the state was saved with {saved}; this loader has {here}.", "Make them the same")
    if state["order_digest"] != order_digest():
        raise StateError(
            "the state was saved under a NumPy whose random numbers differ from this one's.",
            "Go on with the NumPy it was saved under, or begin again",
        )
    step, ended = state["step"], state["ended"]
    if type(step) is not int or step < 0 or type(ended) is not bool:
        what = f"the state has step={step!r}, ended={ended!r}."
        raise StateError(what, "Give what state_dict() returned, unchanged")
    if step > plan.last_step:
        raise StateError(f"the state has step={step}, farther than any run comes.", "Give what state_dict() returned")
    return Position(step, ended)


def _order(plan: BatchPlan) -> dict[str, Any]:
    return {
        "length": plan.sampler.length,
        "sampler": plan.sampler.identity,
        "global_batch_size": plan.global_batch_size,
        "last_batch": plan.last_batch,
    }
