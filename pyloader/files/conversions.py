"""Shell commands that make of a file what it should have been, for errors to name."""

from __future__ import annotations

import os
import shlex

__all__ = ["conversion", "convert_hint", "rename_hint", "unpack_hint"]

_TOOLS = {".gz": "gzip", ".zst": "zstd", ".xz": "xz", ".bz2": "bzip2", ".lz4": "lz4"}


def conversion(path: str, command: str, *, suffix: str = "") -> str:
    """Return what sends a file through `command` into another one beside it.

    Args:
      path: The file, packed or not; where there is none (standard input), the command stands alone.
      command: Reads standard input, or the file that is its last argument.
      suffix: Of the new file; "" for that of the old one.
    """
    if not os.path.exists(path):
        return command
    stem, packing = os.path.splitext(path)
    tool = _TOOLS.get(packing.lower())
    stem, own = os.path.splitext(path if tool is None else stem)
    target = f"{stem}{suffix}" if suffix and suffix != own.lower() else f"{stem}.mended{own}"
    quoted = shlex.quote(path)
    source = f"{command} {quoted}" if tool is None else f"{tool} -dc {quoted} | {command}"
    return f"{source} > {shlex.quote(target)}"


def convert_hint(path: str, encoding: str) -> str:
    """Return how to make UTF-8 of a text in another encoding."""
    return f"Convert it: {conversion(path, f'iconv -f {encoding} -t UTF-8')}"


def rename_hint(path: str, suffix: str) -> str:
    """Return how to give a file the suffix of what it is."""
    return f"Rename it: mv {shlex.quote(path)} {shlex.quote(os.path.splitext(path)[0] + suffix)}"


def unpack_hint(path: str, suffix: str) -> str:
    """Return what to do with a file that is packed as `suffix` says, and not called so, or packed once more inside."""
    tool = _TOOLS[suffix]
    if not os.path.exists(path):
        return f"Unpack it on the way: {tool} -dc"
    stem, packing = os.path.splitext(path)
    if packing.lower() in _TOOLS:
        stem, own = os.path.splitext(stem)
        outer, target = _TOOLS[packing.lower()], f"{stem}.once{own}{suffix}"
        return f"Unpack it once: {outer} -dc {shlex.quote(path)} > {shlex.quote(target)}"
    if suffix == ".lz4":
        return f"Unpack it: {conversion(path, 'lz4 -dc')}"
    return f"Rename it: mv {shlex.quote(path)} {shlex.quote(path + suffix)}"
