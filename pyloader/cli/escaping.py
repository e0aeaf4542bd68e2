"""Text from files on a terminal: nothing in it is a command to the terminal."""

from __future__ import annotations

__all__ = ["json_escaped", "one_line"]

# What turns the direction of writing, so that a name is read otherwise than it is.
_DIRECTIONS = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}
_CONTROLS |= {code: f"\\u{code:04x}" for code in _DIRECTIONS}
_CONTROLS |= {ord("\n"): "⏎", ord("\r"): "", ord("\t"): "→", 0x2028: "⏎", 0x2029: "⏎"}
_IN_JSON = {code: f"\\u{code:04x}" for code in (*range(0x7F, 0xA0), *_DIRECTIONS, 0x2028, 0x2029)}


def one_line(text: str) -> str:
    """Return `text` with ⏎ for line ends, and control characters and turns of direction spelled out."""
    return text.translate(_CONTROLS)


def json_escaped(text: str) -> str:
    """Return JSON that means the same, with what JSON may hold and a terminal would obey spelled out."""
    return text.translate(_IN_JSON)
