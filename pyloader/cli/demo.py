"""`pyloader demo`: split real text, train a model on the chunks, stop, resume, and say what was seen."""

from __future__ import annotations

import argparse
import contextlib
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pyloader.dataloader import DataLoader
from pyloader.demo.byte_windows import ByteWindows, NextByte, TextPieces
from pyloader.demo.model import byte_entropy
from pyloader.demo.text_dump import TextDump, library_files, library_texts, texts_of, write_text_dump
from pyloader.demo.training import Training
from pyloader.errors import SplitError
from pyloader.inspecting.measuring import forget_peak, peak_bytes
from pyloader.options import format_bytes
from pyloader.write import split

__all__ = ["add_parser", "run"]

NUM_EPOCHS = 3
NUM_CHUNKS = 64
MAX_QUEUE_SIZE = 6
MAX_COMPARED = 100
MIN_TEXT_BYTES = 100_000
MAX_TEXT_BYTES = 32_000_000  # a minute's worth; of a larger file the demo takes the beginning


def add_parser(subparsers: Any) -> None:
    """Add the command and its options to `subparsers`."""
    what = "Split real text, train a small model on it, stop in the middle, resume, and show that nothing changed."
    parser = subparsers.add_parser("demo", help=what, description=what)
    parser.add_argument("path", nargs="?", type=Path, help="your own text or .jsonl; without it, Python's own library")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="an empty directory in which to keep the chunks")


def run(arguments: argparse.Namespace) -> int:
    """Run the demo.

    Returns:
      The exit code: 0, or 1 when a sample did not arrive once per epoch, or a batch after resuming was another one.
    """
    interpreter = peak_bytes()
    with _workspace(arguments.keep) as place:
        dump = _write_dump(arguments.path, place / "dump.jsonl")
        _split(place)
        splitting = format_bytes(peak_bytes() - interpreter)
        forget_peak()
        training = Training(num_epochs=NUM_EPOCHS, num_samples=dump.num_samples)
        same = _train(training, place / "chunks" / "train", batch_size=min(256, dump.num_samples // 100))
        loss, held_out = _evaluate(training, place / "chunks" / "val")
        once = training.received_once(but=held_out)

    memory, waiting = format_bytes(peak_bytes() - interpreter), training.wait_seconds / training.seconds
    print("what you saw")
    _say("learned", f"loss {loss:.2f} nats a byte on the {len(held_out):,} samples held out;")
    _say("", f"guessing from byte counts alone gives {byte_entropy(dump.byte_counts):.2f} (lower is better)")
    _say("memory", f"training peaked at {memory} above the interpreter, the model included (splitting at {splitting});")
    _say("", f"at most {training.resident_peak:.1f} of {NUM_CHUNKS} chunks were resident")
    _say("speed", f"{training.samples_per_second:,.0f} samples/s; the loop waited for data {waiting:.1%} of the time")
    _say("exactly", f"{dump.num_samples - len(held_out):,} samples, {NUM_EPOCHS} epochs; counted by their ids,")
    _say("", f"each arrived exactly once an epoch: {'yes' if once else 'NO'}")
    kept = f"     pyloader peek {arguments.keep}/chunks/train" if arguments.keep else ""
    _say("next", f"pyloader demo YOUR.jsonl     pyloader split YOUR.jsonl chunks/{kept}")
    return 0 if same and once else 1


def _write_dump(path: Path | None, target: Path) -> TextDump:
    texts = library_texts() if path is None else texts_of(path)
    dump = write_text_dump(target, texts, max_bytes=MAX_TEXT_BYTES)
    whose = f"Python's own library, {len(library_files()):,} source files" if path is None else str(path)
    if dump.num_bytes < MIN_TEXT_BYTES:
        found, wanted = format_bytes(dump.num_bytes), format_bytes(MIN_TEXT_BYTES)
        raise SplitError(whose, f"has {found} of text.", f"The demo needs at least {wanted}")
    more = " (the beginning of it)" if dump.num_bytes >= MAX_TEXT_BYTES else ""
    _say("1 data", f"{whose}{more}: {format_bytes(dump.num_bytes)} of text, cut into {dump.num_samples:,} samples")
    return dump


def _split(place: Path) -> None:
    started = time.perf_counter()
    split(
        [place / "dump.jsonl"],
        place / "chunks",
        num_chunks=NUM_CHUNKS,
        shuffle=True,
        holdout={"val": 0.02},
        progress=True,
    )
    seconds = time.perf_counter() - started
    _say("2 split", f"{NUM_CHUNKS} chunks to learn from, 2% of the samples held out, shuffled, in {seconds:.1f} s")


def _train(training: Training, chunks: Path, *, batch_size: int) -> bool:
    """Train, stop half-way, resume; return whether resuming went on with the same batches."""
    _say("3 train", f"a next-byte model in NumPy; at most {MAX_QUEUE_SIZE} of {NUM_CHUNKS} chunks in memory")
    with _loader(chunks, batch_size=batch_size, shuffle=True) as loader:
        steps = len(loader)
        training.run_epoch(loader)
        _say("", f"epoch 1 of {NUM_EPOCHS}: {steps:,} steps, loss {training.loss:.2f}")
        training.run_epoch(loader, max_steps=steps // 2)
        state = json.dumps(loader.state_dict())
        _say("4 stop", f"after step {steps // 2:,} of epoch 2; state saved: {len(state):,} bytes of JSON")
        training.note(loader)
        # What the run would have received, had it gone on.  Nothing is learned from it.
        expected = [next(loader) for _ in range(min(MAX_COMPARED, steps // 4))]

    with _loader(chunks, batch_size=batch_size, shuffle=True) as loader:
        started = time.perf_counter()
        loader.load_state_dict(json.loads(state))
        received = [next(loader)]
        _say("5 resume", f"a new loader gave its first batch after {time.perf_counter() - started:.2f} s;")
        received += [next(loader) for _ in expected[1:]]
        same = all(map(_equal, received, expected))
        _say("", f"its first {len(expected)} batches equal those of the unbroken run: {'yes' if same else 'NO'}")
        for batch in received:
            training.learn(batch)
        while training.epoch < NUM_EPOCHS:
            training.run_epoch(loader)
            _say("", f"epoch {training.epoch} of {NUM_EPOCHS}: {steps:,} steps, loss {training.loss:.2f}")
        training.note(loader)
    return same


def _evaluate(training: Training, chunks: Path) -> tuple[float, np.ndarray]:
    """Return the loss on the samples that were held out, in nats a byte, and their ids."""
    ids, losses, weights = [], [], []
    with _loader(chunks, batch_size=256, shuffle=False) as loader:
        for batch in loader:
            ids.append(batch["id"])
            losses.append(training.model.loss(batch["context"], batch["target"]))
            weights.append(len(batch["target"]))
    return float(np.average(losses, weights=weights)), np.concatenate(ids)


def _loader(chunks: Path, **options: Any) -> DataLoader:
    return DataLoader(TextPieces(), ByteWindows(), NextByte(), chunks, max_queue_size=MAX_QUEUE_SIZE, **options)


def _equal(batch: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return batch.keys() == other.keys() and all(np.array_equal(batch[key], other[key]) for key in batch)


def _say(head: str, text: str) -> None:
    indent = "" if head[:1].isdigit() or head == "next" else "  "
    print(f"{indent}{head}".ljust(13) + text, flush=True)


@contextlib.contextmanager
def _workspace(keep: Path | None) -> Iterator[Path]:
    """A temporary directory, or `keep`, which must be empty."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="pyloader-demo-") as temporary:
            yield Path(temporary)
        return
    keep.mkdir(parents=True, exist_ok=True)
    if any(keep.iterdir()):
        raise SplitError(str(keep), "is not empty.", "Give --keep a directory of its own")
    yield keep
