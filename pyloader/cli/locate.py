"""`pyloader locate STATE.json DATA_DIR`: which sample of which chunk was in a step, without reading any."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pyloader.audit.planned import streams_of_order
from pyloader.cli.addresses import typed_store
from pyloader.cli.locate_sources import samples_of_sources
from pyloader.cli.main import GOOD
from pyloader.cli.screens import as_json, as_table, counted, one_line
from pyloader.errors import FileError
from pyloader.files import in_version_of, list_chunks
from pyloader.files.stores import printable
from pyloader.plan import (
    Order,
    data_version_in_state,
    is_filling,
    left_out_in_state,
    order_from_state,
    position_from_state,
    rows_of_step,
)
from pyloader.run.units import units_of_order

__all__ = ["add_parser", "run"]


def add_parser(subparsers: Any) -> None:
    """Add `locate` to the command line."""
    parser = subparsers.add_parser(
        "locate",
        description="Show chunk and row of every sample of one step, over all ranks. Nothing is read but the state and "
        "the chunks' manifest; of packed rows, whose pieces of documents are shown, the lengths of the documents.",
    )
    parser.add_argument("state", metavar="STATE.json", help="what state_dict() returned, or JSON with it somewhere in")
    parser.add_argument(
        "data_dir",
        metavar="DATA_DIR",
        nargs="+",
        help="the chunks it was saved on, or their address; of a mixture NAME=DIR for each source",
    )
    parser.add_argument(
        "--step", metavar="N", type=int, help="which, counted from 0 over all epochs; without it, the next"
    )
    parser.add_argument(
        "--weights",
        metavar="JSON",
        help="of a mixture: the loader's weights, '{\"NAME\": SHARE, ...}', of which a state holds a digest alone; "
        "without it, the sources' sizes",
    )
    parser.add_argument(
        "--weight-by", choices=["samples", "tokens"], default="samples", help="of a mixture: what the weights share out"
    )
    parser.add_argument("--json", action="store_true", help="the samples as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Show where the samples of a step are."""
    state = _read_state(arguments.state)
    order = order_from_state(state)
    if order.mixture:
        total, steps_done, epoch, samples = samples_of_sources(arguments, state, order)
        if arguments.json:
            print(as_json({"step": total, "epoch": epoch, "samples": samples}))
        else:
            _show(samples, order, f"step {total:,}", _since(total - steps_done))
        return GOOD
    if len(arguments.data_dir) > 1:
        raise ValueError(f"{arguments.state} is the state of one source: name its chunks alone")
    data_dir = arguments.data_dir[0]
    steps_done = position_from_state(state, order).steps_done
    left_out = set(left_out_in_state(state))
    chunks = in_version_of(list_chunks(data_dir, typed_store()), order.fingerprint, data_version_in_state(state))
    if chunks is None:
        what = f"was saved on other chunks: their names or sizes differ from those of {printable(data_dir)}."
        raise FileError(arguments.state, what, "Name the chunks it was saved on")
    chunks, units = units_of_order(chunks, order)
    streams = streams_of_order(order, chunks)
    total = steps_done if arguments.step is None else arguments.step
    if total < 0:
        raise ValueError(f"--step must be at least 0, got {total}")
    epoch, step = divmod(total, streams.steps_per_epoch)
    rows, filling = rows_of_step(streams, epoch, step, units.lengths_of), is_filling(streams, epoch, step)
    stream_of = np.repeat(np.arange(streams.num_streams), len(rows) // streams.num_streams)
    found, begins = units.of_rows(epoch, rows)
    row_of = np.searchsorted(begins, np.arange(len(found)), side="right") - 1
    samples = [
        {
            "stream": int(stream_of[row]),
            "chunk": chunks.names[unit[0]],
            **units.place(unit),
            "repeated": bool(filling[row]),
            "left_out": int(unit[0]) in left_out,
        }
        for row, unit in zip(row_of.tolist(), found, strict=True)
    ]
    if arguments.json:
        print(as_json({"step": total, "epoch": epoch, "step_of_epoch": step, "samples": samples}))
        return GOOD
    place = f"step {total:,}   epoch {epoch:,}, step {step:,} of {streams.steps_per_epoch:,}"
    _show(samples, order, place, _since(total - steps_done))
    return GOOD


def _show(samples: Sequence[Mapping[str, Any]], order: Order, place: str, since: str) -> None:
    print(f"{place}   {counted(len(samples), 'piece' if order.packing else 'sample')}, {since}")
    sources, tokens = ["source", "epoch"] if order.mixture else [], ["tokens"] if order.packing else []
    titles = ("stream", *sources, "chunk", "row", *tokens, "")
    print(as_table([titles, *map(_line, samples)], right={0, 2, 4} if order.mixture else {0, 2}, cut=False))


def _line(sample: Mapping[str, Any]) -> tuple[str, ...]:
    note = "repeated, to fill up the batch" if sample["repeated"] else ""
    if sample["left_out"]:
        note = "the chunk is left out: another row stands in"
    tokens = [f"{sample['start']} to {sample['stop']}"] if "stop" in sample else []
    source = [one_line(sample["source"]), str(sample["epoch"])] if "source" in sample else []
    return (str(sample["stream"]), *source, sample["chunk"], str(sample["row"]), *tokens, note)


def _since(steps: int) -> str:
    if steps == 0:
        return "the next after the state"
    return f"{counted(abs(steps), 'step')} {'after' if steps > 0 else 'before'} the next"


def _read_state(path: str) -> Mapping[str, Any]:
    """Return the state in a JSON file: all of it, or the only one somewhere in it, as in a checkpoint."""
    if Path(path).is_dir():
        raise FileError(path, "is a directory.", "The file of a state comes first: pyloader locate STATE.json DATA_DIR")
    try:
        found = dict(_states_in(json.loads(Path(path).read_bytes()), ""))
    except ValueError as exc:
        raise FileError(path, f"is not JSON ({exc}).", "Write json.dump(loader.state_dict(), file)") from exc
    except RecursionError as exc:
        what = "holds lists or objects inside of one another, too deep to be looked through."
        raise FileError(path, what, "Write json.dump(loader.state_dict(), file)") from exc
    if len(found) > 1:
        places = " and ".join(sorted(found))
        raise FileError(
            path, f"holds {len(found)} states, under {places}.", "Put the one that is meant into a file of its own"
        )
    if not found:
        raise FileError(path, "holds no state of a DataLoader.", "Write json.dump(loader.state_dict(), file)")
    return next(iter(found.values()))


def _states_in(content: Any, place: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(content, dict) and {"version", "fingerprint", "order_digest"} <= content.keys():
        yield place, content
    elif isinstance(content, dict | list):
        for key, value in content.items() if isinstance(content, dict) else enumerate(content):
            yield from _states_in(value, f"{place}.{key}" if place else str(key))
