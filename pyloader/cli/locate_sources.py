"""`pyloader locate` of a mixture: which row of which source was in a step."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Mapping
from typing import Any

import numpy as np

from pyloader.cli.addresses import typed_store
from pyloader.cli.sources import typed_sources
from pyloader.errors import FileError
from pyloader.files import list_chunks
from pyloader.mixture import Mixture
from pyloader.plan import Order, sources_in_state
from pyloader.run.located_sources import located_sources

__all__ = ["Located", "samples_of_sources"]

Located = tuple[int, int, int, list[dict[str, Any]]]


def samples_of_sources(arguments: argparse.Namespace, state: Mapping[str, Any], order: Order) -> Located:
    """Return which step is located and which is the next after the state, over all epochs, the epoch, and the samples.

    Raises:
      ValueError, StateError: a source or a weight is lacking, or others than those of the state.
    """
    names = sorted(sources_in_state(state))
    places = typed_sources(arguments.data_dir, names, f"pyloader locate {shlex.quote(arguments.state)}")
    weights = _typed_weights(arguments.weights)
    mixture = Mixture(data_dir=places, weights=weights, weight_by=arguments.weight_by, on_exhausted=order.mixture)
    found = located_sources(
        state, order, {name: list_chunks(place, typed_store()) for name, place in places.items()}, mixture
    )
    steps_done = found.position.steps_done
    step = steps_done if arguments.step is None else arguments.step
    if step < 0:
        raise ValueError(f"--step must be at least 0, got {step}")
    streams, position = found.streams, found.at(step)
    rows = streams.rows_of_step(position)
    if not len(rows):
        raise FileError(arguments.state, f"is of a mixture that ends before step {step:,}.", "Give a smaller --step")
    before, after = streams.mark(position), streams.schedule.after(streams.mark(position))
    assert after is not None
    per_stream, planned = len(rows) // streams.num_streams, sum(after.rows) - sum(before.rows)
    samples: list[dict[str, Any]] = []
    for at, (place, epoch, *row) in enumerate(rows.tolist()):
        name = streams.names[place]
        units = found.units_of(name, position.epoch)
        for unit in units.of_rows(epoch, np.array([row]))[0]:
            samples.append(
                {
                    "stream": at // per_stream,
                    "source": name,
                    "epoch": epoch,
                    "chunk": found.chunks[name].names[unit[0]],
                    **units.place(unit),
                    "repeated": at % per_stream >= planned,
                    "left_out": False,
                }
            )
    return step, steps_done, position.epoch, samples


def _typed_weights(text: str | None) -> Any:
    """Return weights as they are typed: JSON of {"NAME": SHARE}, or of [[step, {"NAME": SHARE}], ...].

    Raises:
      ValueError: it is no JSON.
    """
    if text is None:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise ValueError(f"--weights is no JSON ({exc}): write --weights '{{\"NAME\": SHARE, ...}}'") from exc
