"""Parts: the three that a user plugs into a DataLoader are of our classes, or an error says what ours are."""

from __future__ import annotations

from copy import copy
from typing import Any

from pyloader.datacollator import DataCollator
from pyloader.datareader import DataReader
from pyloader.dataset import Dataset
from pyloader.errors import DataDirError
from pyloader.files import ChunkList
from pyloader.files.opening import suffix_of
from pyloader.read import Nulls, ParquetReader, reader_for

__all__ = ["checked_part", "reader_of", "reader_with_nulls"]

_PARTS: dict[str, tuple[type, str]] = {
    "datareader": (DataReader, "Ours has read_file(path) -> columns: subclass pyloader.DataReader"),
    "dataset": (Dataset, "Ours has batch_encode(columns) -> columns: subclass pyloader.Dataset"),
    "datacollator": (DataCollator, "Ours has collate_batch(columns) -> batch: subclass pyloader.DataCollator"),
}

_OTHERS = {
    "torch.utils.data.dataset": "That is PyTorch's random-access dataset: pyloader.indexed.DataLoader takes it. ",
    "torch": "That belongs to PyTorch's data loader. ",
    "datasets": "That is a Hugging Face dataset. ",
    "tensorflow": "That belongs to tf.data. ",
}


def checked_part(name: str, value: Any) -> Any:
    """Return `value`, which can be the DataLoader's argument `name`; None can be each of them.

    Raises:
      TypeError: it is of another class; the message says what ours is.
    """
    part, advice = _PARTS[name]
    if value is None or isinstance(value, part):
        return value
    if isinstance(value, type) and issubclass(value, part):
        what = f"{name} must be a {part.__name__}, got the class {value.__name__}."
        raise TypeError(f"{what} Make one: {value.__name__}()")
    if name == "datareader" and isinstance(value, str):
        what = f"datareader must be a DataReader, got the str {value!r}."
        raise TypeError(f"{what} To let the suffix choose: DataLoader(data_dir={value!r})")
    kind = type(value)
    found = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    modules = [base.__module__ for base in kind.__mro__]
    if any(base.__name__ == "IterableDataset" for base in kind.__mro__):  # it has no items to be asked for by number
        modules = [module.partition(".")[0] for module in modules]
    other = next((text for theirs, text in _OTHERS.items() if any(_is_in(module, theirs) for module in modules)), "")
    raise TypeError(f"{name} must be a {part.__module__}.{part.__name__}, got a {found}. {other}{advice}")


def reader_of(chunks: ChunkList) -> DataReader:
    """Return the reader that the chunks' manifest or suffix names.

    Raises:
      DataDirError: no reader is known for the suffix, or the chunks have several.
    """
    reader = reader_for(chunks.path(0), manifest=chunks.manifest)
    if chunks.manifest is not None:
        return reader
    first_of_kind = {suffix_of(name): name for name in reversed(chunks.names)}
    for suffix, name in first_of_kind.items():
        if type(reader_for(name)) is not type(reader):
            what = f"holds chunks of different kinds, {chunks.names[0]} and {name}."
            raise DataDirError(str(chunks.root), what, f"Name those of one kind: data_dir='{chunks.root}/*{suffix}'")
    return reader


def reader_with_nulls(reader: DataReader, nulls: Nulls | None) -> DataReader:
    """Return a reader that fills nulls itself, where that is faster; else `reader`: its columns are filled after."""
    if nulls is None or not isinstance(reader, ParquetReader):
        return reader
    filling = copy(reader)  # other loaders may have the same reader
    filling.nulls = nulls
    return filling


def _is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")
