"""Mixture state: what a state says beside the step: how many rows of each source every stream has got, and since when.

It is the same on all ranks.  A loader with more sources, or other weights, may go on with it: from there on shares are
counted anew.  One source less, or other chunks of one, is refused by name.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import xxhash

from pyloader.errors import StateError
from pyloader.plan.mixture import MixedStreams
from pyloader.plan.position import Position
from pyloader.plan.schedule import Mark
from pyloader.plan.state import UNCHANGED, Order, state_of

__all__ = [
    "data_versions_in_state",
    "fingerprints_in_state",
    "mixture_position",
    "mixture_state_of",
    "same_weights",
    "sources_in_state",
    "windows_in_state",
]

_log = logging.getLogger("pyloader")
_TOO_FAR = 2**63  # where NumPy's integers end


def mixture_state_of(
    position: Position,
    order: Order,
    streams: MixedStreams,
    fingerprints: Sequence[str],
    data_versions: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Return the state after the batches that `position` has behind it: JSON of less than 4 KB with 20 sources.

    Args:
      position: Where it stands.
      order: What the order depends on, beside the sources.
      streams: The plan.
      fingerprints: Of each source's chunks, and how they are packed.
      data_versions: The versions of their chunks, of those sources that were added to.
    """
    mark = streams.mark(position)
    return {
        **state_of(position, order),
        "weights": _weights_digest(streams),
        "base_step": mark.base_step,
        # rows of each stream now and at the base, the window, the chunks
        "sources": {
            source.name: [rows, base, source.window, fingerprint]
            for source, rows, base, fingerprint in zip(
                streams.sources, mark.rows, mark.base_rows, fingerprints, strict=True
            )
        },
        **({"data_version": dict(data_versions)} if data_versions else {}),
    }


def fingerprints_in_state(state: Mapping[str, Any]) -> dict[str, str]:
    """Return the fingerprints of the chunks of the sources that a state names.

    Raises:
      StateError: it names none.
    """
    return {name: entry[3].partition("-")[0] for name, entry in sources_in_state(state).items()}


def data_versions_in_state(state: Mapping[str, Any]) -> dict[str, int]:
    """Return the versions of the chunks of those sources that were added to; {} where a state names none.

    Raises:
      StateError: it says something else there.
    """
    versions = state.get("data_version", {})
    if not isinstance(versions, Mapping) or not all(
        isinstance(name, str) and type(number) is int and number >= 1 for name, number in versions.items()
    ):
        raise StateError(f"the state has data_version={versions!r}.", UNCHANGED)
    return dict(versions)


def windows_in_state(state: Mapping[str, Any]) -> dict[str, int]:
    """Return the windows of the sources that a state names.

    Raises:
      StateError: it names none.
    """
    return {name: entry[2] for name, entry in sources_in_state(state).items()}


def mixture_position(
    state: Mapping[str, Any], position: Position, streams: MixedStreams, fingerprints: Sequence[str]
) -> Position:
    """Return `position`, which `state` holds, with what the streams have got of each source.

    Raises:
      StateError: the sources are others, or the state was changed.
    """
    entries = sources_in_state(state)
    if gone := [name for name in entries if name not in streams.names]:
        what = f"the state was saved with the source {gone[0]!r}, which this loader has not."
        raise StateError(
            what, f"Give it in data_dir; with weight 0 nothing more of it comes: weights={{{gone[0]!r}: 0, ...}}"
        )
    for source, fingerprint in zip(streams.sources, fingerprints, strict=True):
        entry = entries.get(source.name)
        if entry is not None and entry[3] != fingerprint:
            what = f"the state was saved on other chunks of the source {source.name!r}: names, sizes or packing differ."
            raise StateError(what, "Give data_dir the chunks it was saved on")
        if entry is not None and entry[2] != source.window:
            what = f"the state was saved with shuffle_window={entry[2]} for the source {source.name!r}; "
            raise StateError(
                f"{what}this loader has {source.window}.",
                f"Make it DataLoader(..., shuffle_window={windows_in_state(state)!r})",
            )
    base_step = state.get("base_step")
    if type(base_step) is not int or not 0 <= base_step <= position.step:
        raise StateError(f"the state has base_step={base_step!r}.", UNCHANGED)
    rows, base = (tuple(entries[name][at] if name in entries else 0 for name in streams.names) for at in (0, 1))
    mark = Mark(position.step, rows, base_step, base)
    if same_weights(state, streams):
        _check(mark, streams)
    else:
        _check_rows(mark.step, mark.rows, streams)
        mark = mark.rebased
        added = sorted(set(streams.names) - entries.keys())
        what = f"with {', '.join(map(repr, added))} added" if added else "with other weights"
        _log.info("going on %s: from step %d on shares are counted anew", what, position.step)
    return replace(position, mark=mark)


def sources_in_state(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a state says of each source: the rows of each stream now and at the base, the window, the chunks.

    Raises:
      StateError: it says nothing of sources.
    """
    entries = state.get("sources")
    good = isinstance(entries, Mapping) and all(
        isinstance(entry, list)
        and len(entry) == 4
        and all(type(number) is int and 0 <= number < _TOO_FAR for number in entry[:3])
        and entry[1] <= entry[0]
        and entry[2] >= 1
        and isinstance(entry[3], str)
        for entry in entries.values()
    )
    if not good or not isinstance(entries, Mapping):
        raise StateError(f"the state has sources={entries!r}.", UNCHANGED)
    return entries


def same_weights(state: Mapping[str, Any], streams: MixedStreams) -> bool:
    """Tell whether a state was saved with the weights of `streams`."""
    return bool(state.get("weights") == _weights_digest(streams))


def _weights_digest(streams: MixedStreams) -> str:
    shares = streams.schedule.shares
    return xxhash.xxh3_64(repr((streams.names, shares.knots, shares.weights, shares.whole)).encode()).hexdigest()


def _check_rows(step: int, rows: Sequence[int], streams: MixedStreams) -> None:
    """Raise unless every stream can have got so many rows after so many steps.

    Raises:
      StateError: it cannot.
    """
    schedule, got = streams.schedule, sum(rows)
    most = schedule.share * step
    # Only with "drop" is a step short: one where all sources have ended, and others may be added after it.
    is_short = got < most and schedule.on_exhausted != "drop"
    ends = schedule.on_exhausted != "repeat"
    if got > most or is_short or any(ends and has > of for has, of in zip(rows, schedule.rows, strict=True)):
        what = f"the state has {got:,} rows of all sources in each stream after {step:,} steps of {schedule.share:,}."
        raise StateError(what, UNCHANGED)


def _check(mark: Mark, streams: MixedStreams) -> None:
    """Raise unless the schedule comes to this mark, as far as is known without going through it.

    Raises:
      StateError: it does not.
    """
    _check_rows(mark.step, mark.rows, streams)
    _check_rows(mark.base_step, mark.base_rows, streams)
    since = sum(mark.rows) - sum(mark.base_rows)
    if since != streams.schedule.share * (mark.step - mark.base_step) or not streams.schedule.keeps_shares(mark):
        raise StateError(f"the state has rows {list(mark.rows)}, which no step of this mixture leads to.", UNCHANGED)
