"""pyloader, streaming chunks: bounded memory, exact order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import zstandard
from workloads import TEXT_LENGTH, WINDOW, Data, encode_text, window_ids

from pyloader import ArrayRecordReader, Columns, DataLoader, Dataset, JsonlReader, NumpyReader, TokenReader
from pyloader.cli.main import main as pyloader_command

_FORMS = ("jsonl.zst", "npz", "npy.zst", "arrayrecord")


class Words(Dataset):
    """The numbers of each text's words."""

    def batch_encode(self, columns: Columns) -> Columns:
        ids = np.empty((len(columns["text"]), TEXT_LENGTH), np.int32)
        for row, text in zip(ids, columns["text"], strict=True):
            row[:] = encode_text(text)
        return {"ids": ids, "id": columns["id"]}


def prepare(data: Data) -> None:
    """Make our other forms of the chunks, and the manifests, as `pyloader split` would have."""
    if data.kind == "text":
        _make(data, "jsonl.zst", lambda chunk, path: path.write_bytes(zstandard.compress(chunk.read_bytes(), 3)))
    elif data.shape == (28, 28):
        _make(data, "npz", _write_npz)
        _make(data, "npy.zst", _write_packed_columns)
        _make(data, "arrayrecord", _write_records)
    for form in ("chunks", *_FORMS):
        if (data.root / form).is_dir():
            _index(data, form)


def epochs(
    data: Data,
    *,
    window: int = 4,
    mmap: bool = False,
    form: str = "",
    auto: bool = False,
    num_workers: int = 1,
    num_readers: int | None = None,
    worker_kind: str = "thread",
    strings: bool = False,
) -> Iterator[Any]:
    loader = DataLoader(
        _reader(data, mmap, form),
        Words() if data.kind == "text" and not strings else None,
        data_dir=_manifest(data, form or "chunks"),
        num_epochs=None,
        shuffle=True,
        batch_size=data.batch_size,
        shuffle_window=window,
        max_queue_size=4 if window == 1 else 10,
        num_workers="auto" if auto else num_workers,
        num_readers="auto" if auto else min(1, num_workers) if num_readers is None else num_readers,
        worker_kind=worker_kind,
    )
    with loader:
        while True:
            yield _epoch(loader, data, form)


def _reader(data: Data, mmap: bool, form: str) -> Any:
    if data.kind == "text":
        return JsonlReader()
    if data.kind == "tokens":
        return TokenReader(window=WINDOW, dtype="uint16", mmap=mmap)
    if form == "arrayrecord":
        return ArrayRecordReader(dtype=np.float32, shape=(785,))
    return NumpyReader(mmap=mmap)


def _epoch(loader: DataLoader, data: Data, form: str) -> Iterator[Any]:
    total = 0
    while total < data.num_samples:  # an endless loader goes on with the next epoch at once
        batch = next(loader)
        if data.kind == "text":
            values, ids = batch.get("ids", batch["id"]), batch["id"]
        elif data.kind == "tokens":
            values, ids = batch["tokens"], window_ids(batch["tokens"])
        elif form == "arrayrecord":
            values, ids = batch["data"], batch["data"][:, -1].astype(np.int64)
        else:
            values, ids = batch["image"], batch["label"]
        total += len(ids)
        yield values, ids


def _make(data: Data, form: str, write: Callable[[Path, Path], Any]) -> None:
    """Write each chunk in another form, once."""
    directory = data.root / form
    if (data.root / f"{form}.done").exists():
        return
    directory.mkdir(exist_ok=True)
    suffix = ".columns" if form == "npy.zst" else f".{form}"
    for chunk in sorted(data.chunks.iterdir()):
        write(chunk, directory / f"{chunk.stem}{suffix}")
    (data.root / f"{form}.done").touch()


def _index(data: Data, form: str) -> None:
    """Count what the chunks hold; the manifest lies beside their directory, where no other contender meets it."""
    options = [f"--option={option}" for option in (f"window={WINDOW}", "dtype=uint16")]
    reader = ["--reader", "tokens", *options] if data.kind == "tokens" else []
    if not _manifest(data, form).exists():
        code = pyloader_command(["index", str(data.root / form), "--output", str(_manifest(data, form)), "-q", *reader])
        assert code == 0


def _manifest(data: Data, form: str) -> Path:
    return data.root / f"{form}.manifest.json"


def _columns(chunk: Path) -> dict[str, np.ndarray]:
    return {name: np.load(chunk / f"{name}.npy") for name in ("image", "label")}


def _write_npz(chunk: Path, path: Path) -> None:
    np.savez(path, **_columns(chunk))


def _write_packed_columns(chunk: Path, path: Path) -> None:
    path.mkdir(exist_ok=True)
    for name in ("image", "label"):
        (path / f"{name}.npy.zst").write_bytes(zstandard.compress((chunk / f"{name}.npy").read_bytes(), 3))


def _write_records(chunk: Path, path: Path) -> None:
    """Rows of 785 numbers, the last of them the label, in groups of 1,024."""
    from array_record.python import array_record_module

    columns = _columns(chunk)
    writer = array_record_module.ArrayRecordWriter(str(path), "group_size:1024")
    for image, label in zip(columns["image"], columns["label"], strict=True):
        writer.write(np.append(image.reshape(-1), np.float32(label)).tobytes())
    writer.close()
