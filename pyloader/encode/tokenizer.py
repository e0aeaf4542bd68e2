"""Text -> tokens, by a tokenizer of Hugging Face's `tokenizers`, or an encoding of `tiktoken`."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from pyloader.columns import Columns
from pyloader.dataset import Dataset
from pyloader.encode.opened_tokenizer import OpenedTokenizer, open_tokenizer
from pyloader.errors import BadRowsError, BatchEncodeError, FileError
from pyloader.ragged import Ragged

__all__ = ["TokenizerDataset"]

# What ends a text in the vocabularies that are in use.
_ENDS = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<|eos|>", "[EOS]")


class TokenizerDataset(Dataset):
    """Makes documents of tokens of a column of text: one `Ragged` column "tokens", and no other.

    The tokens are those of the tokenizer without its own special tokens at the ends, in the smallest dtype that holds
    its vocabulary: uint16, or int32.

    Args:
      tokenizer: A `tokenizer.json`, as `tokenizers.Tokenizer.save` and `save_pretrained` write it; or the name of an
        encoding of tiktoken that is in its cache on this machine, "cl100k_base" say.  Nothing is fetched.
      column: The column of text.
      append_eos: Whether a token that ends the text is appended to each; a str names it, "<|endoftext|>" say.

    Raises:
      MissingDependencyError: there is no `tokenizers`, or no `tiktoken`; the message says what to install.
      FileError: the file is no tokenizer, or has not the token that ends a text.
    """

    is_thread_safe = True

    def __init__(
        self, tokenizer: str | os.PathLike[str], *, column: str = "text", append_eos: bool | str = False
    ) -> None:
        self.path, self.column, self.append_eos = os.fspath(tokenizer), column, append_eos
        self._load()

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "column": self.column, "append_eos": self.append_eos}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._load()

    def batch_encode(self, columns: Columns) -> Columns:
        """Return {"tokens": documents}.

        Raises:
          BatchEncodeError: there is no such column.
          BadRowsError: some rows of it are no text.
        """
        if self.column not in columns:
            found = ", ".join(map(repr, columns))
            raise BatchEncodeError(
                f"there is no column {self.column!r} to make tokens of, but {found}.",
                "Name the column of text: column=, or --column; of chats: ChatDataset, or --chat",
            )
        texts = columns[self.column]
        bad = {row: type(text).__name__ for row, text in enumerate(texts) if not isinstance(text, str)}
        if bad:
            hint = "Leave such rows out: pyloader split --where, or --max-skipped"
            raise BadRowsError(
                {row: f"{self.column!r} is a {kind}, which is no text" for row, kind in bad.items()}, hint
            )
        rows = self._tokenizer.encode(list(texts))
        if self._eos is not None:
            rows = [np.append(row, self._eos) for row in rows]
        return {"tokens": Ragged.from_rows(rows, dtype=self.dtype)}

    def fingerprint(self) -> str:
        """Return 64 hexadecimal digits that change with the tokenizer."""
        return self.tokenizer_sha256

    @property
    def tokenizer_sha256(self) -> str:
        """The SHA-256 of the tokenizer's file, 64 hexadecimal digits."""
        return self._tokenizer.digest

    def _load(self) -> None:
        self._tokenizer = open_tokenizer(self.path, wanted_by="TokenizerDataset")
        self.dtype = self._tokenizer.dtype
        self._eos = None if self.append_eos is False else _end_of_text(self._tokenizer, self.append_eos)


def _end_of_text(tokenizer: OpenedTokenizer, append_eos: bool | str) -> np.ndarray:
    names = _ENDS if append_eos is True else (str(append_eos),)
    known = [number for name in names if (number := tokenizer.number(name)) is not None]
    if not known:
        listed = ", ".join(sorted(tokenizer.special)) or "none"
        what = f"has no token {' or '.join(names)} to end a text with; its special tokens are {listed}."
        raise FileError(tokenizer.name, what, "Name the one that ends a text: append_eos='TOKEN'")
    return np.array(known[:1], tokenizer.dtype)
