"""Text -> tokens, by a tokenizer of Hugging Face's `tokenizers`, or an encoding of `tiktoken`."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

from pyloader.columns import Columns
from pyloader.dataset import Dataset
from pyloader.encode.needed import needed_column, refuse_rows
from pyloader.errors import FileError
from pyloader.ragged import Ragged

if TYPE_CHECKING:
    from pyloader.encode.opened_tokenizer import OpenedTokenizer

__all__ = ["TokenizerDataset", "TokensDataset"]

# What ends a text in the vocabularies that are in use.
_ENDS = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<|eos|>", "[EOS]")


class TokensDataset(Dataset, ABC):
    """A Dataset with a tokenizer, which other processes open again: what is saved of it is what it was given."""

    _tokenizer: OpenedTokenizer

    def __init__(self, tokenizer: str | os.PathLike[str], column: str) -> None:
        self.path, self.column = os.fspath(tokenizer), column
        self._open()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if not name.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()

    def fingerprint(self) -> str:
        """Return 64 hexadecimal digits that change with the tokenizer, and with how it is used."""
        return self.tokenizer_sha256

    @property
    def tokenizer_sha256(self) -> str:
        """The SHA-256 of the tokenizer's file, 64 hexadecimal digits."""
        return self._tokenizer.digest

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the tokens."""
        return self._tokenizer.dtype

    @abstractmethod
    def _open(self) -> None:
        """Open the tokenizer."""


class TokenizerDataset(TokensDataset):
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
        self.append_eos = append_eos
        super().__init__(tokenizer, column)

    def batch_encode(self, columns: Columns) -> Columns:
        """Return {"tokens": documents}.

        Raises:
          BatchEncodeError: there is no such column.
          BadRowsError: some rows of it are no text.
        """
        hint = "Name the column of text: column=, or --column; of chats: ChatDataset, or --chat"
        texts = needed_column(columns, self.column, what_for="to make tokens of", hint=hint)
        bad = {
            row: f"is a {type(text).__name__}, which is no text"
            for row, text in enumerate(texts)
            if not isinstance(text, str)
        }
        refuse_rows(bad, self.column, "Leave such rows out: pyloader split --where, or --max-skipped")
        rows = self._tokenizer.encode(list(texts))
        if self._eos is not None:
            rows = [np.append(row, self._eos) for row in rows]
        return {"tokens": Ragged.from_rows(rows, dtype=self.dtype)}

    def _open(self) -> None:
        from pyloader.encode.opened_tokenizer import open_tokenizer

        self._tokenizer = open_tokenizer(self.path, wanted_by="TokenizerDataset")
        self._eos = None if self.append_eos is False else _end_of_text(self._tokenizer, self.append_eos)


def _end_of_text(tokenizer: OpenedTokenizer, append_eos: bool | str) -> np.ndarray:
    names = _ENDS if append_eos is True else (str(append_eos),)
    known = [number for name in names if (number := tokenizer.number(name)) is not None]
    if not known:
        listed = ", ".join(sorted(tokenizer.special)) or "none"
        what = f"has no token {' or '.join(names)} to end a text with; its special tokens are {listed}."
        raise FileError(tokenizer.name, what, "Name the one that ends a text: append_eos='TOKEN'")
    return np.array(known[:1], tokenizer.dtype)
