"""Which reader reads which file: by suffix, or by the name that a manifest gives."""

from __future__ import annotations

import importlib
import os
import shlex
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np

from pyloader.columns import ColumnSpec
from pyloader.datareader import DataReader
from pyloader.errors import DataDirError, ManifestError, PyLoaderError
from pyloader.files import Manifest, is_in_saved_dataset, store_scheme, suffix_of
from pyloader.files.image_headers import IMAGE_SUFFIXES
from pyloader.files.sound_headers import SOUND_SUFFIXES
from pyloader.options import checked_integer

__all__ = ["reader_for", "reader_name", "register_reader", "registered_reader"]

_PLAIN = {str, int, float, bool, NoneType}  # types that an option is checked against
_SHOWN = 100  # characters of what a manifest says, in an error
_UNREAD = {".br": "brotli", ".snappy": "snappy"}  # what MosaicML packs with, too -> the package that unpacks it

# What manifests call it -> the class, or its name in pyloader.read: a reader is imported when it is first used.
_CLASSES: dict[str, type[DataReader] | str] = {
    "jsonl": "JsonlReader",
    "csv": "DelimitedReader",
    "text": "TextReader",
    "tokens": "TokenReader",  # without a suffix: its window must be said, by hand or by a manifest
    "npy": "NumpyReader",
    "npz": "NumpyReader",
    "columns": "NumpyReader",
    "arrayrecord": "ArrayRecordReader",
    "hdf5": "Hdf5Reader",
    "zarr": "ZarrReader",
    "lance": "LanceReader",
    "huggingface": "HuggingFaceReader",  # by what lies beside it: .arrow files are others' as well
    "parquet": "ParquetReader",
    "webdataset": "WebDatasetReader",
    "mds": "MDSReader",
    "megatron": "MegatronReader",  # of a .bin that has its .idx beside it
    "litdata": "LitDataReader",  # of a .bin that has litdata's index.json beside it
    "tfrecord": "TFRecordReader",
}
_NAMES: dict[str, str] = {  # by suffix
    ".jsonl": "jsonl", ".ndjson": "jsonl",
    ".csv": "csv", ".tsv": "csv",
    ".txt": "text",
    ".npy": "npy",
    ".npz": "npz",
    ".columns": "columns",
    ".arrayrecord": "arrayrecord", ".array_record": "arrayrecord", ".ar": "arrayrecord",
    ".h5": "hdf5", ".hdf5": "hdf5",
    ".zarr": "zarr", ".zarr.zip": "zarr",
    ".lance": "lance",
    ".parquet": "parquet", ".arrow": "parquet", ".feather": "parquet",
    ".tar": "webdataset",
    ".mds": "mds",
    ".tfrecord": "tfrecord", ".tfrecords": "tfrecord", ".tfrec": "tfrecord",
}  # fmt: skip


def register_reader(name: str, reader_class: type[DataReader], *, suffixes: tuple[str, ...] = ()) -> None:
    """Make a reader known, in place of the one that was known by this name or these suffixes.

    Args:
      name: What manifests call it.
      reader_class: Made without arguments.
      suffixes: Of the files it reads, (".tfrecord",); those of compressions do not count.

    Raises:
      TypeError: reader_class is no DataReader class.
      ValueError: a suffix does not begin with a dot, or is that of a compression.
    """
    if not (isinstance(reader_class, type) and issubclass(reader_class, DataReader)):
        raise TypeError(f"reader_class must be a DataReader class, got {reader_class!r}")
    if isinstance(suffixes, str):
        raise TypeError(f"suffixes must be a tuple: suffixes=({suffixes!r},)")
    for suffix in suffixes:
        if not suffix or suffix_of(f"chunk{suffix}") != suffix:
            raise ValueError(f"{suffix!r} is not a suffix; write one like '.jsonl', in small letters, without '.gz'")
    _CLASSES[name] = reader_class
    _NAMES.update(dict.fromkeys(suffixes, name))


def _unpack_command(path: str, package: str) -> str:
    code = (
        f'import {package}, sys; a, b = sys.argv[1:]; open(b, "wb").write({package}.decompress(open(a, "rb").read()))'
    )
    return shlex.join(["python", "-c", code, path, os.path.splitext(path)[0]])


def reader_for(
    path: str | os.PathLike[str],
    *,
    manifest: Manifest | None = None,
    reader_class: type[DataReader] | None = None,
) -> DataReader:
    """Return a reader for a chunk file.

    A manifest may come from a stranger: it names a reader that is registered, and nothing is imported for it.

    Args:
      path: The chunk; its suffix says which reader, unless a manifest does.
      manifest: What is known of the chunks.  The reader then gives every chunk the manifest's columns and dtypes.
      reader_class: The reader's class, whatever the suffix or the manifest says.  None (the default) goes by these.

    Raises:
      DataDirError: no reader is known for the suffix.
      ManifestError: the manifest's reader is not registered, or cannot be made with the manifest's options.
    """
    if manifest is not None:
        return _made(path, manifest, reader_class or _registered(path, manifest.reader))
    if reader_class is not None:
        return reader_class()
    suffix = suffix_of(path)
    if suffix == ".bin" and suffix not in _NAMES:
        from pyloader.read.litdata import LitDataReader, has_litdata_index
        from pyloader.read.megatron import MegatronReader, has_index

        if has_index(os.fspath(path)):
            return MegatronReader()
        if has_litdata_index(os.fspath(path)):
            return LitDataReader()
    if suffix not in _NAMES:
        what = f"ends in {suffix!r}, which no reader knows." if suffix else "has no suffix to choose a reader by."
        hint = f"Known: {', '.join(_NAMES)}. For others subclass DataReader, and pass it, or register_reader() it"
        for suffixes, noun, nouns in ((IMAGE_SUFFIXES, "an image", "images"), (SOUND_SUFFIXES, "a sound", "sounds")):
            if suffix in suffixes:
                what = f"is {noun}, and no chunk of samples."
                hint = f"Make chunks of the folder of {nouns} first: pyloader split {nouns}/ chunks/ --shuffle"
        if suffix in _UNREAD and os.fspath(path).lower().endswith(f".mds{suffix}"):
            what = f"is a shard of MosaicML that is packed with {_UNREAD[suffix]}, which is not read."
            hint = f"Unpack it, and let its index.json be: {_unpack_command(os.fspath(path), _UNREAD[suffix])}"
        if suffix == ".bin":
            hint = "For tokens, pass TokenReader(window=1025, dtype='uint16'), with the numbers that are yours"
            if store_scheme(path):
                hint += ". Of litdata and Megatron, have the index read that lies beside them: pyloader index ADDRESS"
        raise DataDirError(os.fspath(path), what, hint)
    if suffix == ".arrow" and is_in_saved_dataset(path):
        from pyloader.read.huggingface import HuggingFaceReader

        return HuggingFaceReader()
    return _registered(path, _NAMES[suffix])()


def reader_name(reader: DataReader) -> str:
    """Return what a manifest calls a reader: its registered name, or "package.module:Class"."""
    reader_class = type(reader)
    for name, known in _CLASSES.items():
        if known in (reader_class, _own_name(reader_class)):
            return name
    return f"{type(reader).__module__}:{type(reader).__qualname__}"


def registered_reader(name: str) -> type[DataReader] | None:
    """Return the class that is registered by this name, or None."""
    found = _CLASSES.get(name)
    return getattr(importlib.import_module("pyloader.read"), found) if isinstance(found, str) else found


def _own_name(reader_class: type[DataReader]) -> str | None:
    """Return the name of a reader of ours; None for one of others."""
    return reader_class.__name__ if reader_class.__module__.startswith("pyloader.read.") else None


def _registered(path: str | os.PathLike[str], name: str) -> type[DataReader]:
    found = registered_reader(name)
    if found is None:
        what = f"is read by {name[:_SHOWN]!r}, says the manifest, which nobody registered."
        own = "datareader=, or register_reader() before, or on the command line --reader package.module:Class"
        raise ManifestError(os.fspath(path), what, f"Known: {', '.join(_CLASSES)}. Give a reader of your own: {own}")
    return found


def _made(path: str | os.PathLike[str], manifest: Manifest, reader_class: type[DataReader]) -> DataReader:
    try:
        _check_types(reader_class, manifest.reader_options)
        reader = reader_class(**_options(reader_class, manifest.columns) | manifest.reader_options)
        for option, least in (("batch_size", 1), ("seed", 0)):
            if option in manifest.reader_options:
                checked_integer(option, getattr(reader, option), at_least=least)
    except PyLoaderError:
        raise
    except Exception as exc:  # options from a manifest may be of any type, and make a reader fail in any way
        told = f"{manifest.reader[:_SHOWN]!r} with {str(manifest.reader_options)[:_SHOWN]}"
        what = f"is read by {told}, says the manifest: {exc}."
        raise ManifestError(os.fspath(path), what) from exc
    return reader


def _check_types(reader_class: type[DataReader], options: Mapping[str, Any]) -> None:
    """Raise TypeError where an option of a reader of ours is of another type than its signature says.

    From Python a wrong one is the caller's fault, and shows soon enough.  A manifest is anybody's.
    """
    hints = get_type_hints(reader_class.__init__) if _own_name(reader_class) else {}
    for option in options.keys() & hints.keys():
        hint = hints[option]
        kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
        if _PLAIN.issuperset(kinds) and type(options[option]) not in kinds:
            words = " or ".join(kind.__name__.removesuffix("Type") for kind in kinds)
            raise TypeError(f"{option} must be {words}, got {options[option]!r}")


def _options(reader_class: type[DataReader], columns: tuple[ColumnSpec, ...]) -> dict[str, Any]:
    """Return the options with which a reader of ours gives these columns, whatever a chunk holds.

    A column of numbers with gaps is a list in every chunk, also in one that has no gap.
    """
    if not columns:
        return {}
    arrays = {spec.name: np.dtype((spec.dtype, spec.item_shape)) for spec in columns if spec.kind == "array"}
    names = [spec.name for spec in columns]
    ragged = {spec.name: np.dtype(spec.dtype) for spec in columns if spec.kind == "ragged"}
    own_name = _own_name(reader_class)
    if ragged and own_name in ("JsonlReader", "ParquetReader"):
        others = _options(reader_class, tuple(spec for spec in columns if spec.kind != "ragged"))
        numbers = {name: dtype for name, dtype in ragged.items() if dtype.kind in "biuf"}
        return {"columns": names, "dtypes": {**others.get("dtypes", {}), **numbers}, "ragged": list(ragged)}
    if own_name == "JsonlReader":
        return {"columns": names, "dtypes": {name: arrays.get(name, object) for name in names}}
    if own_name == "DelimitedReader":
        gapped = {spec.name: object for spec in columns if spec.kind in ("int", "float", "")}
        return {"columns": names, "dtypes": {name: (arrays | gapped).get(name, str) for name in names}}
    if own_name in ("ParquetReader", "HuggingFaceReader", "LanceReader"):
        # Dates and rows of unequal length are what the files say.
        said = {name for name, dtype in arrays.items() if dtype.base.kind in "mM"}
        said |= {spec.name for spec in columns if spec.kind == "ragged"}
        return {"columns": names, "dtypes": {name: arrays.get(name, object) for name in names if name not in said}}
    if own_name in ("Hdf5Reader", "ZarrReader", "WebDatasetReader", "MDSReader", "LitDataReader"):
        return {"columns": names}
    if own_name in ("TokenReader", "MegatronReader") or (own_name == "NumpyReader" and len(names) == 1):
        return {"name": names[0]}
    if own_name == "TFRecordReader":
        from pyloader.read.tfrecord import example_options

        return example_options(columns)
    if own_name == "ArrayRecordReader" and arrays:
        if len(columns) > 1:
            raise ValueError(f"an ArrayRecord has one column of arrays, not {', '.join(map(repr, names))}")
        (spec,) = columns
        return {"dtype": spec.dtype, "shape": spec.item_shape, "name": spec.name}
    return {}
