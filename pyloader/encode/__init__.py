"""Raw columns -> numbers, for one batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyloader.lazy import lazy_names

if TYPE_CHECKING:
    from pyloader.encode.by_source import encode_sources
    from pyloader.encode.chat import ChatDataset, ChatTemplate
    from pyloader.encode.checking import encode_batch, find_bad_rows, taken_by
    from pyloader.encode.images import ImageDataset
    from pyloader.encode.sounds import AudioDataset
    from pyloader.encode.text import PAD_, PAD_IDX, TextDataset, build_vocabulary, read_vocabulary
    from pyloader.encode.tokenizer import TokenizerDataset, TokensDataset
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "by_source": "encode_sources",
            "chat": "ChatDataset ChatTemplate",
            "checking": "encode_batch find_bad_rows taken_by",
            "images": "ImageDataset",
            "sounds": "AudioDataset",
            "text": "PAD_ PAD_IDX TextDataset build_vocabulary read_vocabulary",
            "tokenizer": "TokenizerDataset TokensDataset",
        },
    )

__all__ = [
    "PAD_",
    "PAD_IDX",
    "AudioDataset",
    "ChatDataset",
    "ChatTemplate",
    "ImageDataset",
    "TextDataset",
    "TokenizerDataset",
    "TokensDataset",
    "build_vocabulary",
    "encode_batch",
    "encode_sources",
    "find_bad_rows",
    "read_vocabulary",
    "taken_by",
]
