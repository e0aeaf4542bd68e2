"""What is said of inputs that split does not know: which suffix they have, and what takes such files."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence

from pyloader.errors import SplitError
from pyloader.files import packing_of, store_scheme, suffix_of
from pyloader.write.media import kind_of_file

__all__ = ["directory_error", "suffix_error"]

_UNPACKERS = {
    ".zip": "unzip", ".tar": "tar -xf", ".tgz": "tar -xf", ".7z": "7z x", ".rar": "unrar x",
    ".lz4": "lz4 -d", ".lzma": "xz -d", ".z": "gzip -d", ".br": "brotli -d",
}  # fmt: skip
_SHOWN = 3  # suffixes


def suffix_error(path: str, known: Mapping[str, Sequence[str]]) -> SplitError:
    """Return the error for a file whose suffix tells no format.

    Args:
      path: The file.
      known: Format -> its suffixes.
    """
    suffix = suffix_of(path)
    if not suffix:
        return SplitError(path, "has no suffix to go by.", f"Say what it is: --from {', '.join(known)}")
    return SplitError(path, f"ends in {suffix}, which split does not know.", _advice(path, suffix, known))


def directory_error(path: str, known: Mapping[str, Sequence[str]]) -> SplitError:
    """Return the error for a directory, with the suffixes that are in it.

    Args:
      path: The directory.
      known: Format -> its suffixes.
    """
    found: Counter[str] = Counter()
    examples: dict[str, str] = {}
    depths: dict[str, bool] = {}
    for above, directories, files in os.walk(path):
        directories[:] = sorted(name for name in directories if not name.startswith("."))
        for name in sorted(name for name in files if not name.startswith(".")):
            suffix = suffix_of(name)
            whole = f"{suffix}{packing_of(name)}"
            found[whole] += 1
            examples.setdefault(whole, os.path.join(above, name))
            depths[whole] = depths.get(whole, False) or above != path
    if not found:
        return SplitError(path, "is a directory without files.", "Name the files of a dump")
    listed = [f"{number:,} {suffix or 'without a suffix'}" for suffix, number in found.most_common(_SHOWN)]
    rest = f" and {len(found) - _SHOWN:,} other kinds" if len(found) > _SHOWN else ""
    what = f"is a directory. It holds {', '.join(listed)}{rest}."
    ours = [suffix for suffix, _ in found.most_common() if _format(suffix, known)]
    if not ours:
        first = found.most_common(1)[0][0]
        return SplitError(path, what, _advice(examples[first], suffix_of(examples[first]), known))
    names = os.path.join(path, "**" if depths[ours[0]] else "", f"*{ours[0]}")
    return SplitError(path, what, f"Name its files: {shlex.quote(names)}")


def _format(suffix: str, known: Mapping[str, Sequence[str]]) -> str:
    return next((name for name, suffixes in known.items() if suffix_of(f"x{suffix}") in suffixes), "")


def _advice(path: str, suffix: str, known: Mapping[str, Sequence[str]]) -> str:
    if suffix in _UNPACKERS:
        return f"Unpack it: {_UNPACKERS[suffix]} {shlex.quote(path)}"
    if kind := kind_of_file(f"x{suffix}"):
        nouns = kind.nouns.capitalize()
        if store_scheme(path):
            return f"{nouns} are split from a disk: copy the folders of their labels there first"
        above = os.path.join(os.path.dirname(os.path.dirname(path)) or ".", "")
        words = f"pyloader split {shlex.quote(above)} DIR"
        return f"{nouns} are split by the folder that holds the folders of their labels: {words}"
    suffixes = ", ".join(suffix for group in known.values() for suffix in group)
    return f"Known: {suffixes}. If it is one of them under another name, say which: --from {', '.join(known)}"
