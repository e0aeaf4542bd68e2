"""Formats of others, in place: what an index costs, and how fast samples come, beside the format's own library.

    python benchmarks/formats.py [--megabytes 64] [--repeat 3] [--only index|samples]

An index beside reading the same bytes once; then one shuffled epoch of the same files by both, batches of 64 samples,
in one thread; one of TFRecord beside tf.data, one of Parquet without a shuffle beside pyarrow's scanner.  CPU seconds,
in turns, the fastest of each.  A library that is not installed is named and left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import os
import struct
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from ragged import fastest

from pyloader import DataLoader, PaddingDataCollator, reader_for

SAMPLE_BYTES = 2000
BATCH = 64
Rows = list[tuple[int, np.ndarray]]  # of each sample: a number, and some uint16


def rows_of(megabytes: float) -> Rows:
    """Return samples of 1,000 to 3,000 bytes."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(SAMPLE_BYTES // 4, SAMPLE_BYTES // 4 * 3, int(megabytes * 10**6 / SAMPLE_BYTES))
    return [(number, rng.integers(0, 2**16, length, np.uint16)) for number, length in enumerate(lengths)]


def write_tar(root: Path, rows: Rows) -> None:
    """Write a shard as webdataset's writer does."""
    with tarfile.open(root / "a.tar", "w") as archive:
        for number, tokens in rows:
            for suffix, content in (("bin", tokens.tobytes()), ("cls", b"%d" % number)):
                member = tarfile.TarInfo(f"{number:08d}.{suffix}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))


def write_mds(root: Path, rows: Rows) -> None:
    """Write shards with MosaicML's writer."""
    from streaming import MDSWriter

    columns = {"number": "int", "tokens": "ndarray:uint16"}
    with MDSWriter(out=str(root), columns=columns, size_limit=2**24) as writer:
        for number, tokens in rows:
            writer.write({"number": number, "tokens": tokens})


def write_tfrecord(root: Path, rows: Rows) -> None:
    """Write records of tf.train.Example: one feature of bytes."""
    import google_crc32c

    def masked(content: bytes) -> bytes:
        crc = google_crc32c.value(content)
        return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)

    def field(content: bytes) -> bytes:
        size, head = len(content), bytearray(b"\x0a")
        while size >= 128:
            head.append(size & 127 | 128)
            size >>= 7
        return bytes(head) + bytes([size]) + content

    with open(root / "a.tfrecord", "wb") as file:
        for _, tokens in rows:
            feature = field(field(tokens.tobytes()))
            record = field(field(field(b"tokens") + b"\x12" + field(feature)[1:]))
            length = struct.pack("<Q", len(record))
            file.write(length + masked(length) + record + masked(record))


def write_parquet(root: Path, rows: Rows) -> None:
    """Write a table of lists."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    numbers, tokens = zip(*rows, strict=True)
    table = pa.table({"number": numbers, "tokens": pa.array([each.tobytes() for each in tokens], pa.binary())})
    pq.write_table(table, root / "a.parquet", row_group_size=4096, compression="none")


def write_lines(root: Path, rows: Rows, suffix: str) -> None:
    """Write lines of text, JSON or CSV."""
    form = {"txt": "{text}\n", "jsonl": '{{"number": {number}, "text": "{text}"}}\n', "csv": "{number},{text}\n"}[
        suffix
    ]
    with open(root / f"a.{suffix}", "w") as file:
        for number, tokens in rows:
            file.write(form.format(number=number, text=tokens[: len(tokens) // 8].tobytes().hex()))


def with_webdataset(root: Path) -> Iterator[Any]:
    """One epoch of webdataset, shuffled in a buffer."""
    import webdataset

    data = webdataset.WebDataset(str(root / "a.tar"), shardshuffle=False, empty_check=False)
    yield from data.shuffle(1000).to_tuple("bin", "cls").batched(BATCH)


def with_streaming(root: Path) -> Iterator[Any]:
    """One epoch of MosaicML's dataset: samples."""
    from streaming import StreamingDataset

    yield from StreamingDataset(local=str(root), shuffle=True, batch_size=BATCH, num_canonical_nodes=1)


def with_tfrecord(root: Path) -> Iterator[Any]:
    """One epoch of the package tfrecord, in the file's order: samples."""
    from tfrecord import tfrecord_loader

    yield from tfrecord_loader(str(root / "a.tfrecord"), None)


def with_datasets(root: Path) -> Iterator[Any]:
    """One epoch of Hugging Face datasets, streamed, shuffled in a buffer."""
    from datasets import load_dataset

    data = load_dataset("parquet", data_files=str(root / "a.parquet"), split="train", streaming=True)
    yield from data.shuffle(seed=0, buffer_size=1000).iter(BATCH)


def with_scanner(root: Path) -> Iterator[Any]:
    """One epoch of pyarrow's scanner, in the file's order, in one thread: Arrow tables, which are no arrays yet."""
    from pyarrow import dataset

    yield from dataset.dataset(root / "a.parquet").to_batches(batch_size=BATCH, use_threads=False)


def with_tf_data(root: Path) -> Iterator[Any]:
    """One epoch of tf.data, shuffled in a buffer, in one thread: parsed batches, as arrays."""
    import tensorflow as tf

    data = tf.data.TFRecordDataset(str(root / "a.tfrecord")).shuffle(1000).batch(BATCH)
    data = data.map(lambda records: tf.io.parse_example(records, {"tokens": tf.io.FixedLenFeature([], tf.string)}))
    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    yield from data.with_options(options).as_numpy_iterator()


# Format -> how its files are written, what writing needs, and its own library with one epoch of it.
FORMATS: dict[str, tuple[Callable[[Path, Rows], None], list[str], str, Callable[[Path], Iterator[Any]]]] = {
    "webdataset": (write_tar, [], "webdataset", with_webdataset),
    "mds": (write_mds, ["streaming"], "streaming", with_streaming),
    "tfrecord": (write_tfrecord, ["google_crc32c"], "tfrecord", with_tfrecord),
    "parquet": (write_parquet, ["pyarrow"], "datasets", with_datasets),
}


def with_pyloader(root: Path, name: str) -> None:
    """One epoch of ours, shuffled."""
    padded = PaddingDataCollator() if name == "mds" else None
    with DataLoader(
        data_dir=root, batch_size=BATCH, shuffle=True, num_epochs=1, num_workers=0, datacollator=padded
    ) as loader:
        for _ in loader:
            pass


def in_order(root: Path) -> None:
    """One epoch of ours over Parquet, in the file's order: arrays, and lists of bytes."""
    with DataLoader(data_dir=root, batch_size=BATCH, shuffle=False, num_epochs=1, num_workers=0) as loader:
        drain(iter(loader))


def drain(batches: Iterator[Any]) -> None:
    for _ in batches:
        pass


def index_case(root: Path, repeat: int) -> None:
    """Print what it costs to find the parts of each file, beside reading it."""
    for path in sorted(path for path in root.rglob("a.*") if path.suffix != ".json"):

        def read(path: Path = path) -> None:
            block = bytearray(2**18)
            with open(path, "rb", buffering=0) as file:
                while file.readinto(block):
                    pass

        reader, megabytes = reader_for(path), path.stat().st_size / 10**6
        seconds = fastest(
            {"read": read, "index": lambda: reader.find_parts(str(path), chunk_bytes=2**23)},  # noqa: B023  # now
            repeat,
        )
        per_gb = {way: 1000 * each / megabytes for way, each in seconds.items()}
        shown = f"{per_gb['index']:5.2f} s/GB, reading it {per_gb['read']:4.2f}"
        print(f"index   {path.suffix:<10} {shown}", flush=True)


def samples_case(root: Path, name: str, num_samples: int, repeat: int) -> None:
    """Print how many samples a second of one processor come, by both."""
    _, _, library, theirs = FORMATS[name]
    ways: dict[str, Callable[[], Any]] = {"pyloader": lambda: with_pyloader(root, name)}
    if importlib.util.find_spec(library) is not None:
        ways[library] = lambda: drain(theirs(root))
    rates = {way: num_samples / each for way, each in fastest(ways, repeat).items()}
    shown = ", ".join(f"{way} {rate:,.0f}" for way, rate in rates.items())
    ratio = f", {rates['pyloader'] / rates[library]:.1f} times" if library in rates else f", {library} not installed"
    print(f"samples {name:<10} {shown}{ratio}", flush=True)


def other_cases(root: Path, num_samples: int, repeat: int) -> None:
    """Print how many samples a second of one processor come beside other libraries than the formats' own."""
    cases: list[tuple[str, str, str, Callable[[Path], Any], Callable[[Path], Iterator[Any]]]] = [
        ("samples", "tfrecord", "tensorflow", lambda place: with_pyloader(place, "tfrecord"), with_tf_data),
        ("in order", "parquet", "pyarrow", in_order, with_scanner),
    ]
    for what, name, library, ours, theirs in cases:
        place = root / name
        if not place.exists() or importlib.util.find_spec(library) is None:
            continue
        ways = {"pyloader": partial(ours, place), library: lambda: drain(theirs(place))}  # noqa: B023  # now
        rates = {way: num_samples / each for way, each in fastest(ways, repeat).items()}
        shown = ", ".join(f"{way} {rate:,.0f}" for way, rate in rates.items())
        print(f"{what:<7} {name:<10} {shown}, {rates['pyloader'] / rates[library]:.1f} times", flush=True)


def main() -> None:
    os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", TF_ENABLE_ONEDNN_OPTS="0")  # else TensorFlow tells of itself
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=64, help="of each file")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", choices=["index", "samples"])
    given = parser.parse_args()
    rows = rows_of(given.megabytes)
    with tempfile.TemporaryDirectory() as made:
        root = Path(made)
        for name, (write, needs, _, _) in FORMATS.items():
            if missing := [package for package in needs if importlib.util.find_spec(package) is None]:
                print(f"{name}: left out, {missing[0]} not installed", flush=True)
                continue
            (root / name).mkdir()
            write(root / name, rows)
        if given.only != "samples":
            (root / "lines").mkdir()
            for suffix in ("txt", "jsonl", "csv"):
                write_lines(root / "lines", rows, suffix)
            index_case(root, given.repeat)
        for name in FORMATS if given.only != "index" else ():
            if (root / name).exists():
                samples_case(root / name, name, len(rows), given.repeat)
        if given.only != "index":
            other_cases(root, len(rows), given.repeat)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
