"""Text -> token ids, by a vocabulary of words."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from itertools import islice
from typing import TypeGuard

import numpy as np

from pyloader.columns import Column, Columns
from pyloader.dataset import Dataset
from pyloader.errors import BatchEncodeError, FileError

__all__ = ["PAD_", "PAD_IDX", "TextDataset", "build_vocabulary", "read_vocabulary"]

PAD_ = "<pad>"
PAD_IDX = 0


class TextDataset(Dataset):
    """Makes token ids of text, each row cut or padded to one length.

    Columns of str are encoded, except the one called "label"; all others are left as they are.  Text is split at white
    space.  With a vocabulary, a token becomes the id of its word, an unknown token PAD_IDX (0).  Without one, the text
    must be ids already: "17 4 256".

    Args:
      vocab_file: As for `read_vocabulary`; None when the text is ids.
      max_seq_len: Tokens a row, at least 1: a longer text is cut, a shorter one padded with PAD_IDX on the right.
      max_vocab_size: Words used of the vocabulary, its first; at least 1.
    """

    is_thread_safe = True

    def __init__(
        self,
        vocab_file: str | os.PathLike[str] | None = None,
        max_seq_len: int = 100,
        max_vocab_size: int = 30000,
    ) -> None:
        if max_seq_len < 1:
            raise ValueError(f"max_seq_len must be at least 1, got {max_seq_len}")
        self.max_seq_len, self.max_vocab_size = max_seq_len, max_vocab_size
        self.itos = [] if vocab_file is None else read_vocabulary(vocab_file, max_size=max_vocab_size)
        self.stoi = {word: index for index, word in enumerate(self.itos)}

    def batch_encode(self, columns: Columns) -> Columns:
        """Return the columns, those of text as int64 arrays of shape [rows, max_seq_len].

        Raises:
          BatchEncodeError: there is no vocabulary, and a token is no int; or None is among the texts.
        """
        return {
            name: self._encode(name, values) if name != "label" and _is_text(values) else values
            for name, values in columns.items()
        }

    def _encode(self, name: str, texts: list[str]) -> np.ndarray:
        ids = np.full((len(texts), self.max_seq_len), PAD_IDX, np.int64)
        id_of, width = self.stoi.get, self.max_seq_len
        row = 0
        try:
            for row, text in enumerate(texts):
                tokens = text.split(None, width)[:width]  # the rest of a long text is not even split
                found = [id_of(token, PAD_IDX) for token in tokens] if self.itos else list(map(int, tokens))
                ids[row, : len(found)] = found
        except (AttributeError, ValueError, OverflowError) as exc:
            raise _no_ids(f"{type(self).__name__} got {name!r}", row, texts[row]) from exc
        return ids


def read_vocabulary(path: str | os.PathLike[str], *, max_size: int = 30000) -> list[str]:
    """Return the words of a vocabulary file, in order: the word on line 1 has id 0, on line 2 id 1, and so on.

    The file is UTF-8; a word goes up to the first tab, so that counts may follow it.  Line 1 should be "<pad>", since
    id 0 stands for padding and unknown words too.

    Args:
      path: The file.
      max_size: Lines read, at most; at least 1.

    Raises:
      FileError: a word is there twice, the file is empty, or it is not UTF-8.
    """
    if max_size < 1:
        raise ValueError(f"max_size must be at least 1, got {max_size}")
    path = os.fspath(path)
    first_lines: dict[str, int] = {}
    try:
        with open(path, encoding="utf-8-sig") as lines:
            for number, line in enumerate(islice(lines, max_size), start=1):
                word = line.partition("\t")[0].strip()
                if first_lines.setdefault(word, number) != number:
                    what = f"has the word {word!r} of line {first_lines[word]} again."
                    raise FileError(path, what, "A word has one id: remove one of the two", line=number)
    except UnicodeDecodeError as exc:
        raise FileError(path, "is not UTF-8 text.", "Write the vocabulary as UTF-8, one word a line") from exc
    if not first_lines:
        raise FileError(path, "has no words.", "Write one word a line, the first being <pad>")
    return list(first_lines)


def build_vocabulary(texts: Iterable[str], *, max_size: int = 30000) -> list[str]:
    """Return PAD_ and the most frequent words of `texts`, at most `max_size` in all; equal counts in order of the word.

    Written to a file, one a line, it is what `read_vocabulary` reads.
    """
    counts = Counter(word for text in texts for word in text.split())
    del counts[PAD_]
    words = sorted(counts, key=lambda word: (-counts[word], word))
    return [PAD_, *words][:max_size]


def _is_text(values: Column) -> TypeGuard[list[str]]:
    return isinstance(values, list) and isinstance(next((v for v in values if v is not None), None), str)


def _no_ids(where: str, row: int, text: object) -> BatchEncodeError:
    """Return the error for a text that could not be made into ids."""
    if not isinstance(text, str):
        return BatchEncodeError(f"{where} with {text!r} in row {row}, which is no text.", "Fill it in read_file")
    token = next(token for token in text.split() if not _is_id(token))
    return BatchEncodeError(
        f"{where} with the token {token!r} in row {row}, which is no id.",
        "Give TextDataset a vocab_file, or write batch_encode yourself",
    )


def _is_id(token: str) -> bool:
    try:
        np.int64(int(token))
    except (ValueError, OverflowError):
        return False
    return True
