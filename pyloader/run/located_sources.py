"""Located sources: the plan of a mixture, as a state and its weights tell it, without a loader."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache, cached_property
from typing import Any

import numpy as np

from pyloader.audit import Units, order_of_source
from pyloader.errors import StateError
from pyloader.files import ChunkList, in_version_of
from pyloader.mixture import Mixture
from pyloader.packing import packing_from_order
from pyloader.plan import (
    MixedStreams,
    Order,
    Position,
    Schedule,
    Source,
    data_versions_in_state,
    mixture_position,
    position_from_state,
    same_weights,
    sources_in_state,
)
from pyloader.read import reader_for
from pyloader.run.mixing import shares_of
from pyloader.run.packed import mean_tokens
from pyloader.run.units import units_of_order

__all__ = ["LocatedSources", "located_sources"]


@dataclass(frozen=True, kw_only=True)
class LocatedSources:
    """A mixture whose steps can be located."""

    chunks: dict[str, ChunkList]  # those of each source, as they were read
    order: Order  # what the order depends on, beside the sources
    rows_digests: dict[str, str]  # of how each source's documents are packed
    streams: MixedStreams  # the plan
    position: Position  # where the state stands

    @cached_property
    def units_of(self) -> Callable[[str, int], Units]:
        """units_of(name, run) is what is counted of a source, when the mixture is gone through for the run-th time."""
        return cache(self._units)

    def _units(self, name: str, run: int) -> Units:
        order = order_of_source(self.order, name, rows_digest=self.rows_digests[name], run=run)
        return units_of_order(self.chunks[name], order)[1]

    def at(self, step: int) -> Position:
        """Return the position before a step, counted over all epochs.

        Raises:
          ValueError: the weights were others then.
        """
        position = self.streams.position(step)
        return position.next_epoch() if self.streams.ends_epoch(position) else position


def located_sources(
    state: Mapping[str, Any], order: Order, chunks: Mapping[str, ChunkList], mixture: Mixture
) -> LocatedSources:
    """Return the mixture that a state was saved of.

    Args:
      state: The state.
      order: Its order.
      chunks: The chunks of each source, in any version.
      mixture: The weights, of which a state holds a digest alone.

    Raises:
      StateError: the chunks or the weights are others.
    """
    versions, sources, names = data_versions_in_state(state), sources_in_state(state), sorted(chunks)
    found, made = dict[str, ChunkList](), dict[str, ChunkList]()
    digests = dict[str, str]()
    for name in names:
        fingerprint, _, digests[name] = sources[name][3].partition("-")
        own = in_version_of(chunks[name], fingerprint, versions.get(name))
        if own is None:
            what = f"the state was saved on other chunks of the source {name!r} than those in {chunks[name].place}."
            raise StateError(what, "Name the chunks it was saved on")
        found[name] = own
        made[name], _ = units_of_order(own, order_of_source(order, name, rows_digest=digests[name]))
    rows = [int(_counts(made[name]).sum()) for name in names]
    tokens = [Fraction(1)] * len(names)
    if mixture.weight_by == "tokens":
        packing = packing_from_order(f"{order.packing}{digests[names[0]]}") if order.packing else None
        tokens = [
            mean_tokens(each, reader_for(each.file(0), manifest=each.manifest), packing) for each in made.values()
        ]
    schedule = Schedule(
        shares=shares_of(mixture, names, rows, tokens),
        share=order.batch_size // order.num_streams,
        rows=tuple(number // order.num_streams for number in rows),
        on_exhausted=order.mixture,
        last_batch=order.last_batch,
        num_steps=mixture.num_steps,
    )
    streams = MixedStreams(
        sources=tuple(
            Source(name=name, counts=_counts(made[name]), first_chunk=0, window=sources[name][2], number=place)
            for place, name in enumerate(names)
        ),
        schedule=schedule,
        num_streams=order.num_streams,
        served=range(order.num_streams),
        seed=order.seed,
        shuffle=order.shuffle,
    )
    if not same_weights(state, streams):
        raise StateError(
            "the state was saved with other weights than these, and which rows a step has depends on them.",
            "Type those that the loader had: --weights '{\"NAME\": SHARE, ...}', and --weight-by tokens if so",
        )
    fingerprints = [sources[name][3] for name in names]
    position = mixture_position(state, position_from_state(state, order), streams, fingerprints)
    streams = replace(streams, known=position)
    return LocatedSources(chunks=found, order=order, rows_digests=digests, streams=streams, position=position)


def _counts(chunks: ChunkList) -> np.ndarray:
    if chunks.counts is None:
        raise StateError(f"the chunks in {chunks.place} have no manifest with counts.", "Count them: pyloader index")
    return chunks.counts
