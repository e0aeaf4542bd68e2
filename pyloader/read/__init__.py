"""One chunk file -> columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyloader.lazy import lazy_names

if TYPE_CHECKING:
    from pyloader.read.arrayrecord import ArrayRecordReader
    from pyloader.read.delimited import DelimitedReader
    from pyloader.read.hdf5 import Hdf5Reader
    from pyloader.read.huggingface import HuggingFaceReader
    from pyloader.read.jsonl import JsonLineDataReader, JsonlReader
    from pyloader.read.lance_tables import LanceReader
    from pyloader.read.litdata import LitDataReader
    from pyloader.read.mds import MDSReader
    from pyloader.read.megatron import MegatronReader
    from pyloader.read.nulls import Nulls, nulls_of
    from pyloader.read.numpy_files import NumpyReader
    from pyloader.read.parquet import ParquetReader
    from pyloader.read.registry import reader_for, reader_name, register_reader, registered_reader
    from pyloader.read.text import TextReader
    from pyloader.read.tfrecord import TFRecordReader
    from pyloader.read.tokens import TokenReader
    from pyloader.read.webdataset import WebDatasetReader
    from pyloader.read.zarr_arrays import ZarrReader
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "arrayrecord": "ArrayRecordReader",
            "delimited": "DelimitedReader",
            "hdf5": "Hdf5Reader",
            "huggingface": "HuggingFaceReader",
            "jsonl": "JsonLineDataReader JsonlReader",
            "lance_tables": "LanceReader",
            "litdata": "LitDataReader",
            "mds": "MDSReader",
            "megatron": "MegatronReader",
            "nulls": "Nulls nulls_of",
            "numpy_files": "NumpyReader",
            "parquet": "ParquetReader",
            "registry": "reader_for reader_name register_reader registered_reader",
            "text": "TextReader",
            "tfrecord": "TFRecordReader",
            "tokens": "TokenReader",
            "webdataset": "WebDatasetReader",
            "zarr_arrays": "ZarrReader",
        },
    )

__all__ = [
    "ArrayRecordReader",
    "DelimitedReader",
    "Hdf5Reader",
    "HuggingFaceReader",
    "JsonLineDataReader",
    "JsonlReader",
    "LanceReader",
    "LitDataReader",
    "MDSReader",
    "MegatronReader",
    "Nulls",
    "NumpyReader",
    "ParquetReader",
    "TFRecordReader",
    "TextReader",
    "TokenReader",
    "WebDatasetReader",
    "ZarrReader",
    "nulls_of",
    "reader_for",
    "reader_name",
    "register_reader",
    "registered_reader",
]
