"""State: a position as small JSON, with all that the order depends on, so that a loader can tell whether it fits.

It says what the loop has received.  It holds nothing that the order does not depend on: no worker counts, no queue
size, no num_epochs, and no rank.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pyloader.errors import StateError
from pyloader.plan.order import order_digest
from pyloader.plan.position import Position
from pyloader.plan.schedule import EXHAUSTED_RULES
from pyloader.plan.steps import LAST_BATCH_RULES

__all__ = [
    "STATE_VERSION",
    "UNCHANGED",
    "Order",
    "check_complete",
    "check_order",
    "check_same_order",
    "check_version",
    "data_version_in_state",
    "left_out_in_state",
    "order_from_state",
    "position_from_state",
    "state_of",
]

STATE_VERSION = 1
UNCHANGED = "Give what state_dict() returned, unchanged"
_TOO_FAR, _LAST_EPOCH = 2**63, 2**32  # where NumPy's integers end, and the epochs that a receipt can name


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """All that the order of the samples depends on."""

    seed: int  # the run's seed
    shuffle: str  # "all" (chunks and rows), "rows" (inside each chunk) or "none"
    shuffle_window: int  # how many chunks are mixed
    batch_size: int  # of the batch over all ranks
    last_batch: str  # the rule for an epoch's last rows
    num_streams: int  # how many streams an epoch is cut into
    fingerprint: str  # of the chunks' names and sizes
    packing: str = ""  # how documents are packed, and a digest of the rows that gives; "" where they are not
    bucket_by: str = ""  # the column by whose lengths runs of rows are sorted; "" where they are not
    mixture: str = ""  # what a mixture does where a source ends; "" where there is no mixture

    @property
    def by_step(self) -> bool:
        """Whether the step says where a run stands, and no segment: with several streams or sources, or sorted rows."""
        return self.num_streams > 1 or bool(self.bucket_by) or bool(self.mixture)

    @property
    def chunk_seed(self) -> int | None:
        """The seed of the chunks' order; None keeps it."""
        return self.seed if self.shuffle == "all" else None

    @property
    def row_seed(self) -> int | None:
        """The seed of the rows' order; None keeps it."""
        return None if self.shuffle == "none" else self.seed


# What an order is made of: the least that a number can be, or the words that there are; of None any text will do.
_ORDERS: dict[str, int | tuple[str, ...] | None] = {
    "seed": 0,
    "shuffle": ("all", "rows", "none"),
    "shuffle_window": 1,
    "batch_size": 1,
    "last_batch": LAST_BATCH_RULES,
    "num_streams": 1,
    "fingerprint": None,
    "packing": None,
    "bucket_by": None,
    "mixture": ("", *EXHAUSTED_RULES),
}
# What states have only where it is said.
_UNSAID = {"packing": "", "bucket_by": "", "mixture": ""}


def state_of(
    position: Position, order: Order, left_out: Sequence[int] = (), *, data_version: int | None = None
) -> dict[str, Any]:
    """Return the state after the batches that `position` has behind it: JSON of less than 2 KB.

    With several streams it is the same on every rank: the step says where each stream stands.

    Args:
      position: Where it stands.
      order: What the order depends on.
      left_out: The chunks that could not be read until then; 200 of them still fit.
      data_version: The version of the chunks; None for a set that was never added to.
    """
    numbers = {name: getattr(position, name) for name in _numbers(order)}
    options = {name: getattr(order, name) for name in Order.__slots__ if _UNSAID.get(name) != getattr(order, name)}
    skipped = {"skipped_chunks": list(left_out)} if left_out else {}
    versioned = {} if data_version is None else {"data_version": data_version}
    return {"version": STATE_VERSION, **numbers, **options, "order_digest": order_digest(), **skipped, **versioned}


def left_out_in_state(state: Mapping[str, Any]) -> list[int]:
    """Return the chunks that `state` says are left out.

    Raises:
      StateError: it says something else there.
    """
    chunks = state.get("skipped_chunks", [])
    if not isinstance(chunks, list) or not all(type(chunk) is int for chunk in chunks):
        raise StateError(f"the state has skipped_chunks={chunks!r}.", UNCHANGED)
    return chunks


def data_version_in_state(state: Mapping[str, Any]) -> int | None:
    """Return the version of the chunks that `state` names; None where it names none.

    Raises:
      StateError: it says something else there.
    """
    number = state.get("data_version")
    if number is not None:
        _check_value("data_version", number, 1)
    return number


def position_from_state(state: Mapping[str, Any], order: Order) -> Position:
    """Return the position that `state` holds.

    Raises:
      StateError: the state was saved under another order, or is none.
    """
    check_version(state)
    state = {**_UNSAID, **state}
    if bool(state["mixture"]) != bool(order.mixture):
        saved, here = ("a mixture", "one source") if state["mixture"] else ("one source", "a mixture")
        raise StateError(f"the state was saved with {saved}; this loader has {here}.", "Give data_dir as it was then")
    check_complete(state, [*Order.__slots__, "order_digest"])
    for name, allowed in _ORDERS.items():
        _check_value(name, state[name], allowed)
    check_same_order(state, asdict(order), remedy=lambda differing: f"Make it {_remedy(state, differing)}")
    check_complete(state, _numbers(order))
    if order.by_step and (stray := {"segment", "offset"} & set(state)):
        what = (
            f"the state has num_streams={order.num_streams} and {min(stray)!r}, which only a state of one stream has."
        )
        raise StateError(what, UNCHANGED)
    numbers = {name: state[name] for name in _numbers(order)}
    for name, value in numbers.items():
        _check_value(name, value, 0)
        if value >= (_LAST_EPOCH if name == "epoch" else _TOO_FAR):
            raise StateError(f"the state has {name}={value!r}, farther than any run comes.", UNCHANGED)
    return Position(**numbers)


def order_from_state(state: Mapping[str, Any]) -> Order:
    """Return the order that `state` was saved under.

    Raises:
      StateError: it is no state.
    """
    check_version(state)
    state = {**_UNSAID, **state}
    check_complete(state, [*Order.__slots__, "order_digest"])
    order = Order(**{name: state[name] for name in Order.__slots__})
    check_order(order)
    return order


def check_order(order: Order) -> None:
    """Raise unless a loader may have such an order.

    Raises:
      StateError: none can.
    """
    for name, allowed in _ORDERS.items():
        _check_value(name, getattr(order, name), allowed)
    if order.batch_size % order.num_streams:
        what = f"the state has batch_size={order.batch_size} and num_streams={order.num_streams}."
        raise StateError(what, UNCHANGED)


def check_version(state: Any, version: int = STATE_VERSION) -> None:
    """Raise unless `state` is a state of this version.

    Raises:
      StateError: it is another one, or none.
    """
    if not isinstance(state, Mapping) or state.get("version") != version:
        found = f"version {state.get('version')!r}" if isinstance(state, Mapping) else f"a {type(state).__name__}"
        raise StateError(f"this is no state of version {version} but {found}.", "Give what state_dict() returned")


def check_complete(state: Any, names: Iterable[str]) -> None:
    """Raise unless `state` is a state that has these entries.

    Raises:
      StateError: it lacks one, or is none.
    """
    check_version(state)
    if missing := [name for name in names if name not in state]:
        raise StateError(f"the state lacks {missing[0]!r}.", UNCHANGED)


def check_same_order(state: Mapping[str, Any], mine: Mapping[str, Any], *, remedy: Callable[[list[str]], str]) -> None:
    """Raise unless `state` was saved under the order `mine`.

    Args:
      state: It is complete.
      mine: All that the order depends on here, by name.
      remedy: Says what to do about the names that differ.

    Raises:
      StateError: it was saved under another order, or another NumPy.
    """
    differing = [name for name in mine if state[name] != mine[name]]
    if "fingerprint" in differing:
        raise StateError(
            "the state was saved on other chunks: their names or sizes differ from those of this loader.",
            "Give data_dir the chunks it was saved on",
        )
    if differing:
        saved = ", ".join(f"{name}={state[name]!r}" for name in differing)
        here = ", ".join(f"{name}={mine[name]!r}" for name in differing)
        raise StateError(f"the state was saved with {saved}; this loader has {here}.", remedy(differing))
    if state["order_digest"] != order_digest():
        raise StateError(
            "the state was saved under a NumPy whose random numbers differ from this one's.",
            "Go on with the NumPy it was saved under, or begin the epoch again",
        )


def _check_value(name: str, value: Any, allowed: int | tuple[str, ...] | None) -> None:
    if isinstance(allowed, int):
        good = type(value) is int and value >= allowed
    else:
        good = isinstance(value, str) and (allowed is None or value in allowed)
    if not good:
        raise StateError(f"the state has {name}={value!r}.", UNCHANGED)


def _numbers(order: Order) -> tuple[str, ...]:
    """Return what a position is made of; of several streams each has a segment of its own, told by the step."""
    return ("epoch", *(() if order.by_step else ("segment", "offset")), "step", "steps_done")


def _remedy(state: Mapping[str, Any], differing: list[str]) -> str:
    options = []
    for name in differing:
        if name == "shuffle":
            options.append(
                {"all": "shuffle=True", "rows": "DataReader(shuffle=True)"}.get(state[name], "shuffle=False")
            )
        elif name == "packing":
            options.append(f"pack=Packing({state[name].partition(';')[0]})" if state[name] else "pack=None")
        elif name == "mixture":
            options.append(f"on_exhausted={state[name]!r}")
        else:
            options.append(f"{name}={(state[name] or None) if name == 'bucket_by' else state[name]!r}")
    return f"DataLoader(..., {', '.join(options)})"
