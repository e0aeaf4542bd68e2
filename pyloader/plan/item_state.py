"""Item state: the position of a loop over items as JSON, with everything that the order depends on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyloader.errors import StateError
from pyloader.plan.items import ItemPlan
from pyloader.plan.order import order_digest
from pyloader.plan.position import ItemPosition
from pyloader.plan.state import STATE_VERSION, UNCHANGED, check_complete, check_same_order

__all__ = ["item_position_from_state", "item_state_of"]


def item_state_of(position: ItemPosition, plan: ItemPlan) -> dict[str, Any]:
    """Return the state at `position`: JSON of less than 2 KB, the same on all ranks.

    It holds nothing that the order does not depend on: no worker counts, no prefetch_size, no num_epochs, no rank.
    """
    where = {"version": STATE_VERSION, "step": position.steps_done, "ended": position.ended}
    return {**where, **_order(plan), "order_digest": order_digest()}


def item_position_from_state(state: Mapping[str, Any], plan: ItemPlan) -> ItemPosition:
    """Return the position that `state` holds.

    Raises:
      StateError: the state was saved under another order, or is none.
    """
    mine = _order(plan)
    check_complete(state, ["step", "ended", *mine, "order_digest"])
    check_same_order(state, mine, remedy=lambda differing: "Make them the same")
    step, ended = state["step"], state["ended"]
    if type(step) is not int or step < 0 or type(ended) is not bool:
        what = f"the state has step={step!r}, ended={ended!r}."
        raise StateError(what, UNCHANGED)
    if step > plan.last_step:
        raise StateError(f"the state has step={step}, farther than any run comes.", UNCHANGED)
    return ItemPosition(step, ended)


def _order(plan: ItemPlan) -> dict[str, Any]:
    return {
        "length": plan.sampler.length,
        "sampler": plan.sampler.identity,
        "global_batch_size": plan.global_batch_size,
        "last_batch": plan.last_batch,
    }
