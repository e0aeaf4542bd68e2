"""Same set: whether what is added to a set is made as its samples were: by the same tokenizer, and a like command."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from pyloader.encode import TokensDataset
from pyloader.errors import OutputDirError
from pyloader.files import Manifest, origins_of
from pyloader.write.request import Request

__all__ = ["TOKENIZER", "other_command", "other_tokenizer", "tokenizer_of"]

TOKENIZER = "tokenizer_sha256"  # in `made_by` of a manifest
_SHOWN = 12  # digits of a digest

# Options that say where rows go, and not how a row is made.
_ABOUT_CHUNKS = {
    "--append", "--again", "--shuffle", "--no-quoted-newlines", "--to", "--chunk-bytes", "--chunk-samples",
    "--num-chunks", "--seed", "--holdout", "--holdout-by", "--unique",
}  # fmt: skip


def tokenizer_of(found: Mapping[str, Manifest]) -> str:
    """Return the SHA-256 of the tokenizer that made the tokens of a directory's sets; "" where none is known."""
    digests = (manifest.made_by.get(TOKENIZER) for manifest in found.values())
    return next((digest for digest in digests if isinstance(digest, str)), "")


def other_tokenizer(root: Path, found: Mapping[str, Manifest], request: Request) -> OutputDirError | None:
    """Return the error for tokens of another tokenizer than made those that are there; None for the same."""
    before, encoder = tokenizer_of(found), request.encode
    if not before or not isinstance(encoder, TokensDataset) or encoder.tokenizer_sha256 == before:
        return None
    options = [_options(origin.command) for manifest in found.values() for origin in origins_of(manifest)]
    name = next((each["--tokenizer"] for each in options if "--tokenizer" in each), "another tokenizer")
    what = f"cannot be added to: its tokens were made with {name} (SHA-256 {before[:_SHOWN]}), and these would be with "
    what += f"{encoder.path} ({encoder.tokenizer_sha256[:_SHOWN]})."
    return OutputDirError(f"{root}/", what, "Give the tokenizer that made them, or choose another directory")


def other_command(found: Mapping[str, Manifest], command: str) -> str:
    """Return the command that made a set's first samples, where it read other directories or made rows otherwise.

    Such samples may belong together; that they have the same columns does not say so.

    Args:
      found: The sets that are added to.
      command: What adds to them.
    """
    for manifest in found.values():
        first = next((origin.command for origin in origins_of(manifest) if origin.command), "")
        if first.startswith("pyloader split ") and _kind(first) != _kind(command):
            return first
    return ""


def _kind(command: str) -> tuple[frozenset[str], frozenset[tuple[str, str]]]:
    """Return the directories that a command reads, and how it makes rows."""
    options = {item for item in _options(command).items() if item[0] not in _ABOUT_CHUNKS}
    return frozenset(os.path.dirname(word.rpartition("=")[2]) for word in _places(command)[:-1]), frozenset(options)


def _places(command: str) -> list[str]:
    words = shlex.split(command)[2:]
    return words[: next((place for place, word in enumerate(words) if word.startswith("--")), len(words))]


def _options(command: str) -> dict[str, str]:
    """Return the options of a command and their values; of one that is given several times, all of them."""
    words, found = shlex.split(command)[2 + len(_places(command)) :] if command else [], dict[str, str]()
    name = ""
    for word in words:
        if word.startswith("--"):
            name, _, value = word.partition("=")
            found[name] = f"{found.get(name, '')}{value}"
        else:
            found[name] = f"{found[name]} {word}".strip()
    return found
