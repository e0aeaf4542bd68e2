"""Read datasets larger than memory, ahead of the training loop.

The way of a sample, one folder a step:

    files    which chunk files exist, and how to open one
    plan     who reads what, and when
    read     one chunk file -> columns               (you: DataReader.read_file)
    shuffle  samples change places, and are cut into batches
    encode   raw columns -> numbers                  (you: Dataset.batch_encode)
    collate  numbers -> arrays                       (you: DataCollator.collate_batch)
    deliver  ahead of time, in order, within limits  (DataLoader)

`write` makes the chunks: `pyloader split` on the command line, `split`, `compact` and `ChunkWriter` here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyloader.lazy import lazy_names

__version__ = "0.1.0"

if TYPE_CHECKING:
    from pyloader.collate import NumpyDataCollator, PaddingDataCollator
    from pyloader.columns import Columns
    from pyloader.datacollator import DataCollator
    from pyloader.dataloader import DataLoader
    from pyloader.datareader import DataReader
    from pyloader.dataset import Dataset
    from pyloader.encode import (
        PAD_,
        PAD_IDX,
        AudioDataset,
        ChatDataset,
        ChatTemplate,
        ImageDataset,
        TextDataset,
        TokenizerDataset,
    )
    from pyloader.errors import PyLoaderError
    from pyloader.files import open_chunk
    from pyloader.mixture import Mixture
    from pyloader.packing import Packing
    from pyloader.part import Part
    from pyloader.plan import uniform_numbers
    from pyloader.ragged import Ragged
    from pyloader.read import (
        ArrayRecordReader,
        DelimitedReader,
        Hdf5Reader,
        HuggingFaceReader,
        JsonLineDataReader,
        JsonlReader,
        LanceReader,
        LitDataReader,
        MDSReader,
        MegatronReader,
        NumpyReader,
        ParquetReader,
        TextReader,
        TFRecordReader,
        TokenReader,
        WebDatasetReader,
        ZarrReader,
        reader_for,
        register_reader,
    )
    from pyloader.run.filling import fetch
    from pyloader.run.loader_options import MAX_QUEUE_SIZE
    from pyloader.world import World
    from pyloader.write import ChunkWriter, compact, split

# Where each name comes from: imported when it is first used.
_NAMES = {
    "collate": "NumpyDataCollator PaddingDataCollator",
    "columns": "Columns",
    "datacollator": "DataCollator",
    "dataloader": "DataLoader",
    "datareader": "DataReader",
    "dataset": "Dataset",
    "encode": "PAD_ PAD_IDX AudioDataset ChatDataset ChatTemplate ImageDataset TextDataset TokenizerDataset",
    "errors": "PyLoaderError",
    "files": "open_chunk",
    "mixture": "Mixture",
    "packing": "Packing",
    "part": "Part",
    "plan": "uniform_numbers",
    "ragged": "Ragged",
    "read": (
        "ArrayRecordReader DelimitedReader Hdf5Reader HuggingFaceReader JsonLineDataReader JsonlReader LanceReader "
        "LitDataReader MDSReader MegatronReader NumpyReader ParquetReader TFRecordReader TextReader TokenReader "
        "WebDatasetReader ZarrReader reader_for register_reader"
    ),
    "run.filling": "fetch",
    "run.loader_options": "MAX_QUEUE_SIZE",
    "world": "World",
    "write": "ChunkWriter compact split",
}

__all__ = [
    "MAX_QUEUE_SIZE",
    "PAD_",
    "PAD_IDX",
    "ArrayRecordReader",
    "AudioDataset",
    "ChatDataset",
    "ChatTemplate",
    "ChunkWriter",
    "Columns",
    "DataCollator",
    "DataLoader",
    "DataReader",
    "Dataset",
    "DelimitedReader",
    "Hdf5Reader",
    "HuggingFaceReader",
    "ImageDataset",
    "JsonLineDataReader",
    "JsonlReader",
    "LanceReader",
    "LitDataReader",
    "MDSReader",
    "MegatronReader",
    "Mixture",
    "NumpyDataCollator",
    "NumpyReader",
    "Packing",
    "PaddingDataCollator",
    "ParquetReader",
    "Part",
    "PyLoaderError",
    "Ragged",
    "TFRecordReader",
    "TextDataset",
    "TextReader",
    "TokenReader",
    "TokenizerDataset",
    "WebDatasetReader",
    "World",
    "ZarrReader",
    "__version__",
    "compact",
    "fetch",
    "open_chunk",
    "reader_for",
    "register_reader",
    "split",
    "uniform_numbers",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_names(__name__, _NAMES)
