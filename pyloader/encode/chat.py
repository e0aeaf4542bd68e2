"""Chats -> tokens and which of them are to be learned: those that the assistant wrote."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, TypeAlias

import numpy as np

from pyloader.columns import Columns
from pyloader.encode.needed import needed_column, refuse_rows
from pyloader.encode.opened_tokenizer import open_tokenizer
from pyloader.encode.tokenizer import TokensDataset
from pyloader.errors import FileError
from pyloader.ragged import Ragged

__all__ = ["TEMPLATES", "ChatDataset", "ChatTemplate"]

_ROLE = re.compile(r"[A-Za-z_]{1,32}")  # what is written between special tokens must not have any itself
_LEARNED = "assistant"


@dataclass(frozen=True, kw_only=True)
class ChatTemplate:
    """How a chat becomes text: `start`, then for each message `before`, its content, `end` and `after`.

    Args:
      before: What stands before a message; "{role}" in it becomes its role.
      end: The token that ends a message.
      after: What follows it.
      start: What a chat begins with.
      trim: Whether white space around a content is left out.
    """

    before: str
    end: str
    after: str = ""
    start: str = ""
    trim: bool = False


TEMPLATES = {
    "chatml": ChatTemplate(before="<|im_start|>{role}\n", end="<|im_end|>", after="\n"),
    "llama3": ChatTemplate(
        start="<|begin_of_text|>",
        before="<|start_header_id|>{role}<|end_header_id|>\n\n",
        end="<|eot_id|>",
        trim=True,
    ),
}


_Part: TypeAlias = tuple[str, bool, bool]  # text, whether it is to be learned, whether a user wrote it


class _BadChatError(ValueError):
    """A chat cannot be encoded; the text says what it has."""


class ChatDataset(TokensDataset):
    """Makes documents of tokens of chats, and says which tokens are to be learned.

    A chat is a list of messages, each a dict with "role" and "content".  The columns are "tokens", `Ragged` of uint16
    or int32, and "loss_mask", `Ragged` of bool with the same offsets: True on the contents of the role "assistant" and
    on the tokens that end them.  No other column is kept.  `pack=` packs both alike.

    A chat is made tokens as a whole.  Where a token would reach over the border of what is to be learned, or a content
    holds a special token in words, that row is an error.

    Args:
      tokenizer: As for `TokenizerDataset`.
      column: The column of chats.
      template: A `ChatTemplate`, or the name of one: "chatml", or "llama3".

    Raises:
      MissingDependencyError, FileError: as by `TokenizerDataset`; or no token of the tokenizer ends a message so.
      ValueError: there is no template of that name.
    """

    is_thread_safe = True

    def __init__(
        self,
        tokenizer: str | os.PathLike[str],
        *,
        column: str = "messages",
        template: ChatTemplate | str = "chatml",
    ) -> None:
        self.template = template
        super().__init__(tokenizer, column)

    def batch_encode(self, columns: Columns) -> Columns:
        """Return {"tokens": documents, "loss_mask": which of their tokens are to be learned}.

        Raises:
          BatchEncodeError: there is no such column.
          BadRowsError: some rows are no chats, a token reaches over a border, or a content holds a special token.
        """
        given = needed_column(columns, self.column, what_for="of chats", hint="Name it: column=, or --column")
        bad: dict[int, str] = {}
        chats: dict[int, list[_Part]] = {}
        for row, chat in enumerate(given):
            try:
                chats[row] = self._parts(chat)
            except _BadChatError as exc:
                bad[row] = str(exc)
        encoded = self._tokenizer.encode_special(["".join(text for text, _, _ in parts) for parts in chats.values()])
        made = []
        for (row, parts), (tokens, places) in zip(chats.items(), encoded, strict=True):
            try:
                made.append((tokens, self._learned(parts, tokens, places)))
            except _BadChatError as exc:
                bad[row] = str(exc)
        hint = "Mend it, or leave it out: pyloader split --max-skipped, DataLoader(max_skipped=)"
        refuse_rows(bad, self.column, hint)
        documents = Ragged.from_rows([tokens for tokens, _ in made], dtype=self.dtype)
        learned = np.concatenate([np.zeros(0, bool), *(mask for _, mask in made)])
        return {"tokens": documents, "loss_mask": Ragged(learned, documents.offsets)}

    def fingerprint(self) -> str:
        return hashlib.sha256(f"{self.tokenizer_sha256} {self._template}".encode()).hexdigest()

    def _parts(self, chat: Any) -> list[_Part]:
        """Return the parts of a chat's text: each with whether it is to be learned, and whether a user wrote it."""
        template = self._template
        if not isinstance(chat, list | tuple):
            raise _BadChatError(f"is a {type(chat).__name__}, and not a list of messages")
        parts = [(template.start, False, False)]
        for number, message in enumerate(chat):
            role, content = (message.get(key) if isinstance(message, dict) else None for key in ("role", "content"))
            if not isinstance(content, str) or not isinstance(role, str):
                raise _BadChatError(f"has a message, number {number}, without role and content that are text")
            if not _ROLE.fullmatch(role):
                raise _BadChatError(f"has the role {role[:40]!r} in message {number}")
            is_learned = role == _LEARNED
            parts += [
                (template.before.replace("{role}", role), False, False),
                (content.strip() if template.trim else content, is_learned, True),
                (template.end, is_learned, False),
                (template.after, False, False),
            ]
        return parts

    def _learned(self, parts: list[_Part], tokens: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Return which tokens are to be learned, bool of shape [tokens]."""
        ends = np.array(list(accumulate(self._tokenizer.length(text) for text, _, _ in parts)))
        is_learned = np.array([learned for _, learned, _ in parts])
        part = np.searchsorted(ends, places[:, 0], side="right")  # in which each token begins
        part = np.minimum(part, len(parts) - 1)
        last = np.maximum(np.searchsorted(ends, places[:, 1], side="left"), part)
        changes = np.append(0, np.cumsum(np.diff(is_learned.astype(np.int8)) != 0))
        crossing = np.flatnonzero(changes[part] != changes[last])
        if len(crossing):
            border = parts[int(part[crossing[0]])][0][-20:] + parts[int(last[crossing[0]])][0][:20]
            raise _BadChatError(f"has a token that reaches over the border of what is to be learned, in {border!r}")
        is_written = np.array([written for _, _, written in parts])
        if (strange := is_written[part] & np.isin(tokens, self._special)).any():
            names = {number: name for name, number in self._tokenizer.special.items()}
            name = names[int(tokens[strange][0])]
            raise _BadChatError(f"has the special token {name} in the words of a message")
        mask: np.ndarray = is_learned[part]
        return mask

    def _open(self) -> None:
        if isinstance(self.template, str) and self.template not in TEMPLATES:
            raise ValueError(
                f"template must be a ChatTemplate, or one of {', '.join(TEMPLATES)}; got {self.template!r}"
            )
        self._template = TEMPLATES[self.template] if isinstance(self.template, str) else self.template
        self._tokenizer = open_tokenizer(self.path, wanted_by="ChatDataset")
        self._special = np.array(sorted(self._tokenizer.special.values()), np.int64)
        if self._tokenizer.number(end := self._template.end) is None:
            listed = ", ".join(sorted(self._tokenizer.special)) or "none"
            what = f"has no token {end!r}, with which this template ends a message; its special tokens are {listed}."
            raise FileError(self.path, what, "Give another: template=ChatTemplate(before=..., end=...)")
