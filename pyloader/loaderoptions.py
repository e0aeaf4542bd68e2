"""The DataLoader's options: checked, and resolved into what a run is made of."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from pyloader.collate import NumpyDataCollator
from pyloader.datacollator import DataCollator
from pyloader.datareader import DataReader
from pyloader.dataset import Dataset
from pyloader.errors import DataDirError
from pyloader.files import ChunkList, list_chunks
from pyloader.options import with_new_names
from pyloader.plan import LAST_BATCH_RULES, Dealing, Order
from pyloader.run import RunOptions
from pyloader.shuffle import CutRule

__all__ = ["MAX_QUEUE_SIZE", "SHUFFLE_WINDOW", "LoaderOptions", "resolve"]

MAX_QUEUE_SIZE = 10
SHUFFLE_WINDOW = 4

_NOT_OURS = {
    "torch.utils.data.dataset": "That is PyTorch's random-access dataset",
    "torch.utils.data": "That belongs to PyTorch's data loader",
    "datasets": "That is a Hugging Face dataset",
    "tensorflow": "That belongs to tf.data",
}


@dataclass(frozen=True, kw_only=True)
class LoaderOptions:
    """What a DataLoader was told, resolved.

    Attributes:
      run: What its runs are made of.
      order: All that the order of its samples depends on.
      num_epochs: How many epochs a run has; None never ends.
      shown: The resolved options by name, for repr.
    """

    run: RunOptions
    order: Order
    num_epochs: int | None
    shown: dict[str, Any]

    def __str__(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in self.shown.items())


def resolve(given: dict[str, Any], old_names: dict[str, Any]) -> LoaderOptions:
    """Check the options of a DataLoader, and fill in what they leave open.

    Raises:
      TypeError, ValueError, DataDirError, ManifestError: as DataLoader says.
    """
    given = with_new_names("DataLoader", given, old_names)
    _check_doors(given)
    if given["data_dir"] is None:
        raise TypeError("DataLoader needs data_dir=: a directory of chunks, a glob pattern, or a list of files")
    chunks = list_chunks(given["data_dir"])
    reader: DataReader = given["datareader"] or _reader_of(chunks)
    seed = _integer("seed", reader.seed if given["seed"] is None else given["seed"], at_least=0)
    batch_size = _integer(
        "batch_size", reader.batch_size if given["batch_size"] is None else given["batch_size"], at_least=1
    )
    shuffle = "all" if given["shuffle"] else "rows" if reader.shuffle else "none"
    window = _window(given["shuffle_window"], shuffle)
    queue_size = _integer("max_queue_size", given["max_queue_size"], at_least=1)
    dealing = Dealing(len(chunks), window)
    _check_queue(queue_size, dealing)
    if given["last_batch"] not in LAST_BATCH_RULES:
        raise ValueError(f'last_batch must be "keep", "drop", "pad" or "wrap", not {given["last_batch"]!r}')
    num_epochs = given["num_epochs"]
    if num_epochs is not None:
        _integer("num_epochs", num_epochs, at_least=1)
    collator = given["datacollator"] or NumpyDataCollator()
    slices = given["dataset"] is None and type(collator) is NumpyDataCollator and not collator.dtypes
    run = RunOptions(
        chunks=chunks,
        reader=reader,
        dataset=given["dataset"],
        collator=collator,
        dealing=dealing,
        chunk_seed=seed if shuffle == "all" else None,
        row_seed=None if shuffle == "none" else seed,
        rule=CutRule(batch_size=batch_size, last_batch=given["last_batch"], several=slices),
        max_queue_size=queue_size,
        num_readers=_integer("num_readers", given["num_readers"], at_least=1),
        num_workers=_integer("num_workers", given["num_workers"], at_least=0),
        max_skipped=_max_skipped(given["max_skipped"], len(chunks)),
        copy=bool(given["copy"]),
        stall_timeout_seconds=_seconds("stall_timeout_seconds", given["stall_timeout_seconds"]),
    )
    order = Order(
        seed=seed,
        shuffle=shuffle,
        shuffle_window=window,
        batch_size=batch_size,
        last_batch=given["last_batch"],
        num_streams=1,
        fingerprint=chunks.fingerprint,
    )
    shown = {
        **given,
        "datareader": reader,
        "datacollator": collator,
        "data_dir": f"{chunks.root} ({len(chunks):,} chunks)",
        "seed": seed,
        "batch_size": batch_size,
        "shuffle_window": window,
    }
    for door in ("datareader", "dataset", "datacollator"):
        shown[door] = _Name(type(shown[door]).__name__) if shown[door] is not None else None
    return LoaderOptions(run=run, order=order, num_epochs=num_epochs, shown=shown)


class _Name(str):
    def __repr__(self) -> str:
        return f"{self}()"


def _check_doors(given: dict[str, Any]) -> None:
    doors = {"datareader": DataReader, "dataset": Dataset, "datacollator": DataCollator}
    for name, door in doors.items():
        value = given[name]
        if value is None or isinstance(value, door):
            continue
        if isinstance(value, type) and issubclass(value, door):
            raise TypeError(
                f"{name} must be a {door.__name__}, got the class {value.__name__}. Make one: {value.__name__}()"
            )
        if name == "datareader" and isinstance(value, str):
            raise TypeError(
                f"datareader must be a DataReader, got the str {value!r}. To let the suffix choose: "
                f"DataLoader(data_dir={value!r})"
            )
        what = f"{name} must be a {door.__module__}.{door.__name__}, got {_article(type(value))}."
        whose = next((text for module, text in _NOT_OURS.items() if _comes_from(value, module)), "")
        raise TypeError(f"{what} {whose}{'. ' if whose else ''}{_DOORS[name]}")


_DOORS = {
    "datareader": "Ours has read_file(path) -> columns: subclass pyloader.DataReader",
    "dataset": "Ours has batch_encode(columns) -> columns: subclass pyloader.Dataset",
    "datacollator": "Ours has collate_batch(columns) -> batch: subclass pyloader.DataCollator",
}


def _comes_from(value: object, module: str) -> bool:
    return any(kind.__module__ == module or kind.__module__.startswith(module + ".") for kind in type(value).__mro__)


def _article(kind: type) -> str:
    return f"a {kind.__module__}.{kind.__qualname__}".replace("a builtins.", "a ")


def _reader_of(chunks: ChunkList) -> DataReader:
    from pyloader.read.registry import reader_for

    reader = reader_for(chunks.path(0), manifest=chunks.manifest)
    if chunks.manifest is None:
        for index in range(1, len(chunks)):
            if (
                chunks.names[index].rpartition("/")[2].partition(".")[2]
                != chunks.names[0].rpartition("/")[2].partition(".")[2]
            ):
                other = reader_for(chunks.path(index))
                if type(other) is not type(reader):
                    raise DataDirError(
                        str(chunks.root),
                        f"holds files of different kinds, {chunks.names[0]} and {chunks.names[index]}.",
                        f"Name those you mean: data_dir='{chunks.root}/*{chunks.path(0)[-6:]}'",
                    )
    return reader


def _window(shuffle_window: int | None, shuffle: str) -> int:
    if shuffle_window is None:
        return SHUFFLE_WINDOW if shuffle == "all" else 1
    _integer("shuffle_window", shuffle_window, at_least=1)
    if shuffle != "all" and shuffle_window > 1:
        raise ValueError(f"shuffle_window={shuffle_window} needs shuffle=True, which mixes chunks and their rows")
    return shuffle_window


def _check_queue(queue_size: int, dealing: Dealing) -> None:
    needed = dealing.width + 1 if dealing.width > 1 else 1
    if queue_size < needed:
        raise ValueError(
            f"shuffle_window={dealing.window} holds {dealing.width} chunks for mixing and one that is handed out: "
            f"max_queue_size must be at least {needed}, got {queue_size}. Write max_queue_size={needed}, or "
            f"shuffle_window={max(1, queue_size - 1)}"
        )


def _max_skipped(value: int | str, num_chunks: int) -> int:
    if isinstance(value, str):
        number, percent, rest = value.partition("%")
        try:
            if not percent or rest or not 0 <= float(number) <= 100:
                raise ValueError
        except ValueError:
            raise ValueError(
                f'max_skipped must be a number of chunks or a share of them such as "1%", not {value!r}'
            ) from None
        return math.floor(float(number) / 100 * num_chunks)
    return _integer("max_skipped", value, at_least=0)


def _integer(name: str, value: Any, *, at_least: int) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if value < at_least:
        raise ValueError(f"{name} must be at least {at_least}, got {value}")
    return int(value)


def _seconds(name: str, value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise ValueError(f"{name} must be a number of seconds above 0, got {value!r}")
    return float(value)
