"""Ahead of time, in order, within limits: the only place with threads and processes.

Everything else in the package is ordinary, sequential iterators; `map_in_order` makes a step of them concurrent, and
`RemoteFunction` takes what a step calls to other processes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyloader.lazy import lazy_names

if TYPE_CHECKING:
    from pyloader.deliver.budget import Budget, Lease
    from pyloader.deliver.byte_budget import ByteBudget, Reservation, Size
    from pyloader.deliver.in_order import map_in_order
    from pyloader.deliver.inline import InlineMap, not_a_stop
    from pyloader.deliver.lifecycle import Closing, Step, Steps, StepsClosed, end_with
    from pyloader.deliver.lock_probe import (
        FREE,
        HELD,
        LONG_SECONDS,
        UNCLEAR,
        UNTRIED,
        WAITING,
        LockProbe,
        probe_lock,
    )
    from pyloader.deliver.network_calls import at_once, called_at_once
    from pyloader.deliver.once import Once, PerThread
    from pyloader.deliver.pauses import Pauses
    from pyloader.deliver.processes import RemoteFunction
    from pyloader.deliver.retries import Retries
    from pyloader.deliver.threads import StallWatch, ThreadedMap
    from pyloader.deliver.turns import Turn, own_thread, this_thread
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "budget": "Budget Lease",
            "byte_budget": "ByteBudget Reservation Size",
            "in_order": "map_in_order",
            "inline": "InlineMap not_a_stop",
            "lifecycle": "Closing Step Steps StepsClosed end_with",
            "lock_probe": "FREE HELD LONG_SECONDS UNCLEAR UNTRIED WAITING LockProbe probe_lock",
            "network_calls": "at_once called_at_once",
            "once": "Once PerThread",
            "pauses": "Pauses",
            "processes": "RemoteFunction",
            "retries": "Retries",
            "threads": "StallWatch ThreadedMap",
            "turns": "Turn own_thread this_thread",
        },
    )

__all__ = [
    "FREE",
    "HELD",
    "LONG_SECONDS",
    "UNCLEAR",
    "UNTRIED",
    "WAITING",
    "Budget",
    "ByteBudget",
    "Closing",
    "InlineMap",
    "Lease",
    "LockProbe",
    "Once",
    "Pauses",
    "PerThread",
    "RemoteFunction",
    "Reservation",
    "Retries",
    "Size",
    "StallWatch",
    "Step",
    "Steps",
    "StepsClosed",
    "ThreadedMap",
    "Turn",
    "at_once",
    "called_at_once",
    "end_with",
    "map_in_order",
    "not_a_stop",
    "own_thread",
    "probe_lock",
    "this_thread",
]
