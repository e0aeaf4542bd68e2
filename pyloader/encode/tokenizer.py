"""Text -> tokens, by a tokenizer of Hugging Face's `tokenizers`."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np

from pyloader.columns import Columns
from pyloader.dataset import Dataset
from pyloader.errors import BatchEncodeError, FileError, import_optional
from pyloader.ragged import Ragged

__all__ = ["TokenizerDataset"]

# What ends a text in the vocabularies that are in use.
_ENDS = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<|eos|>", "[EOS]")


class TokenizerDataset(Dataset):
    """Makes documents of tokens of a column of text: one `Ragged` column "tokens", and no other.

    The tokens are those of the tokenizer without its own special tokens at the ends, in the smallest dtype that holds
    its vocabulary: uint16, or int32.

    Args:
      tokenizer: A `tokenizer.json`, as `tokenizers.Tokenizer.save` and `save_pretrained` write it.
      column: The column of text.
      append_eos: Whether a token that ends the text is appended to each; a str names it, "<|endoftext|>" say.

    Raises:
      MissingDependencyError: there is no `tokenizers`; the message says what to install.
      FileError: the file is no tokenizer, or has not the token that ends a text.
    """

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
          BatchEncodeError: there is no such column, or it does not hold text alone.
        """
        if self.column not in columns:
            found = ", ".join(map(repr, columns))
            raise BatchEncodeError(
                f"there is no column {self.column!r} to make tokens of, but {found}.", "Name the column of text"
            )
        texts = columns[self.column]
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            row = next((row for row, text in enumerate(texts) if not isinstance(text, str)), 0)
            raise BatchEncodeError(
                f"{self.column!r} has a {type(texts[row]).__name__} in row {row}, which is no text.",
                "Leave such rows out: pyloader split --where",
            )
        rows = [np.array(encoded.ids, self.dtype) for encoded in self._encode(texts, add_special_tokens=False)]
        if self._eos is not None:
            rows = [np.append(row, self._eos) for row in rows]
        return {"tokens": Ragged.from_rows(rows, dtype=self.dtype)}

    def fingerprint(self) -> str:
        """Return 64 hexadecimal digits that change with the tokenizer: the SHA-256 of its file."""
        return self._digest

    def _load(self) -> None:
        tokenizers = import_optional("tokenizers", wanted_by="TokenizerDataset")
        content = Path(self.path).read_bytes()
        self._digest = hashlib.sha256(content).hexdigest()
        try:
            tokenizer = tokenizers.Tokenizer.from_buffer(content)
        except Exception as exc:  # the library raises nothing more narrow
            hint = "Name a tokenizer.json, as tokenizers and transformers save it"
            raise FileError(self.path, f"is no tokenizer of the tokenizers library ({exc}).", hint) from exc
        tokenizer.no_truncation()  # what the file may say for training would cut documents
        tokenizer.no_padding()
        self.dtype = np.dtype(np.uint16 if tokenizer.get_vocab_size() <= 2**16 else np.int32)
        self._encode = getattr(tokenizer, "encode_batch_fast", tokenizer.encode_batch)
        self._eos = None if self.append_eos is False else self._end_of_text(tokenizer)

    def _end_of_text(self, tokenizer: Any) -> np.ndarray:
        names = _ENDS if self.append_eos is True else (str(self.append_eos),)
        known = [name for name in names if tokenizer.token_to_id(name) is not None]
        if not known:
            special = sorted(token.content for token in tokenizer.get_added_tokens_decoder().values())
            listed = ", ".join(special) or "none"
            what = f"has no token {' or '.join(names)} to end a text with; its special tokens are {listed}."
            raise FileError(self.path, what, "Name the one that ends a text: append_eos='TOKEN'")
        return np.array([tokenizer.token_to_id(known[0])], self.dtype)
