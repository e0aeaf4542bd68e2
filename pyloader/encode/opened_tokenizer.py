"""Tokenizers of other libraries, behind one small interface: a `tokenizer.json` of tokenizers, an encoding of tiktoken.

Nothing is fetched: an encoding of tiktoken must be in its cache on this machine.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pyloader.errors import FileError, import_optional

__all__ = ["OpenedTokenizer", "open_tokenizer"]

_OF_TIKTOKEN = "https://openaipublic.blob.core.windows.net/"

# Of each encoding of tiktoken the files that it fetches, and their SHA-256.
_ENCODINGS = {
    "gpt2": {
        "gpt-2/encodings/main/vocab.bpe": "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
        "gpt-2/encodings/main/encoder.json": "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
    },
    "r50k_base": {
        "encodings/r50k_base.tiktoken": "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930",
    },
    "p50k_base": {
        "encodings/p50k_base.tiktoken": "94b5ca7dff4d00767bc256fdd1b27e5b17361d7b8a5f968547f9f23eb70d2069",
    },
    "cl100k_base": {
        "encodings/cl100k_base.tiktoken": "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    },
    "o200k_base": {
        "encodings/o200k_base.tiktoken": "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    },
}
_ENCODINGS["o200k_harmony"] = _ENCODINGS["o200k_base"]


class OpenedTokenizer(ABC):
    """Makes tokens of texts.

    Attributes:
      name: The file, or the name of the encoding.
      digest: 64 hexadecimal digits that change with it.
      dtype: The smallest of uint16 and int32 that holds its vocabulary.
      special: Its special tokens and their numbers.
    """

    name: str
    digest: str
    dtype: np.dtype[Any]
    special: Mapping[str, int]

    @abstractmethod
    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Return the tokens of each text, without special ones."""

    @abstractmethod
    def encode_special(self, texts: Sequence[str]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return the tokens of each text, in which special tokens may stand, and where each token lies in it.

        Places are int64 of shape [tokens, 2]: where each begins and ends, as `length` counts.
        """

    @abstractmethod
    def length(self, text: str) -> int:
        """Return how long a text is, as places of tokens count."""

    @abstractmethod
    def number(self, token: str) -> int | None:
        """Return the number of a token, special or not; None where there is no such."""


class _HuggingFaceTokenizer(OpenedTokenizer):
    def __init__(self, path: str, wanted_by: str) -> None:
        tokenizers = import_optional("tokenizers", wanted_by=wanted_by)
        content = Path(path).read_bytes()
        self.name, self.digest = path, hashlib.sha256(content).hexdigest()
        try:
            about = json.loads(content)
            about["post_processor"] = None  # it adds special tokens, and moves the places of others
            tokenizer = tokenizers.Tokenizer.from_str(json.dumps(about))
        except Exception as exc:  # the library raises nothing more narrow
            hint = "Name a tokenizer.json, as tokenizers and transformers save it"
            raise FileError(path, f"is no tokenizer of the tokenizers library ({exc}).", hint) from exc
        tokenizer.no_truncation()  # what the file may say for training would cut documents
        tokenizer.no_padding()
        self.dtype = _dtype(1 + max(tokenizer.get_vocab().values(), default=0))  # numbers may be left out
        self.special = {
            token.content: number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special
        }
        self._encode = getattr(tokenizer, "encode_batch_fast", tokenizer.encode_batch)
        self._tokenizer = tokenizer

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        return [np.array(found.ids, self.dtype) for found in self._encode(texts, add_special_tokens=False)]

    def encode_special(self, texts: Sequence[str]) -> list[tuple[np.ndarray, np.ndarray]]:
        encoded = self._tokenizer.encode_batch(texts, add_special_tokens=False)
        return [
            (np.array(found.ids, self.dtype), np.array(found.offsets, np.int64).reshape(-1, 2)) for found in encoded
        ]

    def length(self, text: str) -> int:
        return len(text)

    def number(self, token: str) -> int | None:
        number: int | None = self._tokenizer.token_to_id(token)
        return number


class _Encoding(OpenedTokenizer):
    def __init__(self, name: str, wanted_by: str) -> None:
        tiktoken = import_optional("tiktoken", wanted_by=wanted_by)
        for file, digest in _ENCODINGS[name].items():
            path = _cached(_OF_TIKTOKEN + file)
            if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
                get = f"python -c \"import tiktoken; tiktoken.get_encoding('{name}')\""
                hint = f"Fetch it once, {get}, or bring that file, and say in TIKTOKEN_CACHE_DIR where it is"
                raise FileError(str(path), f"is not the file of tiktoken's {name!r}, and nothing is fetched.", hint)
        self.name = name
        self.digest = hashlib.sha256(" ".join([name, *_ENCODINGS[name].values()]).encode()).hexdigest()
        self._encoding = tiktoken.get_encoding(name)
        self.dtype = _dtype(self._encoding.n_vocab)
        names = sorted(self._encoding.special_tokens_set)
        self.special = {text: self._encoding.encode_single_token(text) for text in names}

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        encode = self._encoding.encode_ordinary
        return [np.array(encode(text), self.dtype) for text in texts]

    def encode_special(self, texts: Sequence[str]) -> list[tuple[np.ndarray, np.ndarray]]:
        found = []
        for text in texts:
            tokens = self._encoding.encode(text, allowed_special="all")
            lengths = list(map(len, self._encoding.decode_tokens_bytes(tokens)))
            ends = np.cumsum(lengths, dtype=np.int64)
            found.append((np.array(tokens, self.dtype), np.stack([ends - np.array(lengths, np.int64), ends], axis=1)))
        return found

    def length(self, text: str) -> int:
        return len(text.encode())

    def number(self, token: str) -> int | None:
        return self.special.get(token)


def open_tokenizer(name: str | os.PathLike[str], *, wanted_by: str) -> OpenedTokenizer:
    """Return the tokenizer in a file, or of a name.

    Args:
      name: A `tokenizer.json`, or an encoding of tiktoken: "cl100k_base" say.
      wanted_by: Who needs it, for the message where a library is missing.

    Raises:
      MissingDependencyError: the library is not installed; the message says what to install.
      FileError: there is no such file, it is no tokenizer, or tiktoken has not got the encoding on this machine.
    """
    name = os.fspath(name)
    if name in _ENCODINGS and not os.path.exists(name):
        return _Encoding(name, wanted_by)
    if not os.path.exists(name):
        hint = f"Name a tokenizer.json, or an encoding of tiktoken: {', '.join(_ENCODINGS)}"
        raise FileError(name, "is not there, and no encoding of tiktoken.", hint)
    if os.path.isdir(name):
        file = os.path.join(name, "tokenizer.json")
        hint = f"Name the file in it: {file}" if os.path.exists(file) else "Name a tokenizer.json"
        raise FileError(name, "is a directory, and no tokenizer.", hint)
    return _HuggingFaceTokenizer(name, wanted_by)


def _dtype(num_tokens: int) -> np.dtype[Any]:
    """Return the dtype of the numbers below `num_tokens`."""
    return np.dtype(np.uint16 if num_tokens <= 2**16 else np.int32)


def _cached(url: str) -> Path:
    """Return where tiktoken keeps what it has fetched from an address."""
    said = os.environ.get("TIKTOKEN_CACHE_DIR", os.environ.get("DATA_GYM_CACHE_DIR"))
    root = os.path.join(tempfile.gettempdir(), "data-gym-cache") if said is None else said
    return Path(root, hashlib.sha1(url.encode(), usedforsecurity=False).hexdigest())
