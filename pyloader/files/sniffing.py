"""What a file is, by its first bytes: packed, UTF-16, an archive, a web page, a pointer; and what to do then."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeVar

from pyloader.errors import ChunkReadError, FileError
from pyloader.files.conversions import conversion, convert_hint, rename_hint, unpack_hint
from pyloader.files.stored_path import open_bytes

__all__ = ["Kind", "Sniffer", "file_kind", "named_by_content", "refuse_pointer", "sniffed", "text_hint"]

E = TypeVar("E", bound=FileError)

_HEAD_BYTES = 1024
_POINTER_BYTES = 1024  # a pointer of Git LFS has fewer
_TAIL_BYTES = 256
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # of UTF-8
_POINTER = b"version https://git-lfs.github.com/spec/"
_CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")  # text has none, but those of terminals
_PAGE = re.compile(rb"\s*<(!doctype\s+html|html)\b", re.IGNORECASE)
_PAGE_END = re.compile(rb"</html>\s*$", re.IGNORECASE)

# No text begins with one of these.
_PACKED = {".gz": b"\x1f\x8b", ".zst": b"\x28\xb5\x2f\xfd", ".xz": b"\xfd7zXZ\0", ".lz4": b"\x04\x22\x4d\x18"}
_BZIP2 = re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)")  # with the magic of the first block, or of the end
_TABLES = (
    (b"PAR1\x15", "a Parquet file", (".parquet", ".pq")),
    (b"ARROW1\0\0", "an Arrow file", (".arrow", ".feather")),
    (b"\x93NUMPY", "a NumPy array", (".npy",)),
)
_ARCHIVES = (
    (b"PK\x03\x04", "a ZIP archive", "unzip", (".zip", ".npz")),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "7z x", (".7z",)),
    (b"Rar!\x1a\x07", "a RAR archive", "unrar x", (".rar",)),
)
_MARKS = ((b"\xff\xfe\0\0", "UTF-32"), (b"\0\0\xfe\xff", "UTF-32"), (b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"))
_JQ_ITEMS = "jq -c '.[]'"
_UNMARKED = (("UTF-32LE", 4, 0), ("UTF-32BE", 4, 3), ("UTF-16LE", 2, 0), ("UTF-16BE", 2, 1))


# What all kinds without a NUL in their head begin with, so that most texts are known as such at once.
_SUSPECTS = frozenset(bytes([byte]) for byte in b"\xff\xfe\x1f\x28\xfd\x04P\x937RAvB<[ \t\r\n")


class Kind(NamedTuple):
    """What a file is."""

    what: str  # in words, after "is "
    hint: str  # what helps
    suffixes: tuple[str, ...] = ()  # those that such a file has by right
    is_text: bool = False  # whether it can be read as lines of text all the same


_PAGE_KIND = Kind(
    "a web page (HTML)", "Servers send one where a link is wrong or a login is missing: fetch it again", is_text=True
)
_POINTER_KIND = Kind(
    "a pointer of Git LFS, not the data", "Fetch the data, where it was cloned: git lfs pull", is_text=True
)


def file_kind(path: str, head: bytes) -> Kind | None:
    """Return what a file is that begins with `head`; None for text, and for what is not known.

    Web pages and pointers of Git LFS are text too: `Sniffer` knows when they are no data.
    """
    if encoding := _encoding(head):
        return Kind(f"{encoding} text", convert_hint(path, encoding))
    packing = next((suffix for suffix, magic in _PACKED.items() if head.startswith(magic)), "")
    if not packing and _BZIP2.match(head):
        packing = ".bz2"
    if packing:
        suffixes = (".zst", ".zstd") if packing == ".zst" else (packing,)
        return Kind(f"packed, as {packing}", unpack_hint(path, packing), suffixes)
    for magic, what, suffixes in _TABLES:
        if head.startswith(magic):
            return Kind(what, rename_hint(path, suffixes[0]), suffixes)
    for magic, what, tool, suffixes in _ARCHIVES:
        if head.startswith(magic):
            return Kind(what, f"Unpack it: {tool} {shlex.quote(path)}", suffixes)
    if head[257:262] == b"ustar":
        return Kind("a tar archive", f"Unpack it: tar -xf {shlex.quote(path)}", (".tar",))
    if len(head) >= _HEAD_BYTES and not head.strip(b"\0"):
        return Kind("filled with zero bytes", "It was never written to its end: fetch it again, or make it again")
    return None


class Sniffer:
    """Looks at the blocks of a text as they pass: at the first one, and at the last one of what may be a web page.

    Args:
      path: The file.
      form: "text", "csv" or "jsonl".
      error: What is raised.
    """

    def __init__(self, path: str, form: str, *, error: type[FileError] = ChunkReadError) -> None:
        self._path, self._form, self._error = path, form, error
        self._num_bytes = 0
        self._tail = b""
        self._is_page = self._is_pointer = False

    def see(self, block: bytes) -> None:
        """Look at the block that comes next.

        Raises:
          FileError: the file is of a kind that the form forbids.
        """
        if not self._num_bytes:
            self._see_first(block[:_HEAD_BYTES].removeprefix(_BYTE_ORDER_MARK))
        self._num_bytes += len(block)
        if self._is_page:
            self._tail = (self._tail + block[-_TAIL_BYTES:])[-_TAIL_BYTES:]

    def end(self) -> None:
        """Take it that all blocks have passed.

        Raises:
          FileError: the whole file is a web page, or a pointer.
        """
        if self._is_pointer and self._num_bytes < _POINTER_BYTES:
            raise self._found(_POINTER_KIND)
        if self._is_page and _PAGE_END.search(self._tail):
            raise self._found(_PAGE_KIND)

    def _see_first(self, head: bytes) -> None:
        kind = None
        if b"\0" in head or head[:1] in _SUSPECTS:
            self._is_pointer, self._is_page = head.startswith(_POINTER), _PAGE.match(head) is not None
            kind = file_kind(self._path, head)
        if kind is None and self._form == "jsonl":
            kind = _PAGE_KIND if self._is_page else _POINTER_KIND if self._is_pointer else _json_kind(self._path, head)
        if kind is not None:
            raise self._found(kind)

    def _found(self, kind: Kind) -> FileError:
        hint = kind.hint
        if kind.is_text and self._form == "text":
            hint += ". If it is meant as text: --from text, or TextReader(sniff=False)"
        return self._error(self._path, f"is {kind.what}.", hint)


def sniffed(blocks: Iterable[bytes], path: str, form: str) -> Iterator[bytes]:
    """Yield `blocks`, all those of a text file, unchanged.

    Raises:
      ChunkReadError: by what a `Sniffer` sees, the file is not of this form.
    """
    sniffer = Sniffer(path, form)
    for block in blocks:
        sniffer.see(block)
        yield block
    sniffer.end()


def named_by_content(error: E, *, may_be_text: bool = False) -> E:
    """Return the error for a file that could not be read, naming what it is when that is not what its suffix says.

    Args:
      error: What is raised when that is not known.
      may_be_text: Whether text is such a case: it was taken for packed.
    """
    try:
        with open_bytes(error.path, goes_on=False) as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return error
    if head.startswith(_POINTER):
        kind: Kind | None = _POINTER_KIND
    else:
        kind = _PAGE_KIND if _PAGE.match(head) else file_kind(error.path, head)
    if kind is None and may_be_text and _is_text(head):
        kind = Kind("plain text, not packed", rename_hint(error.path, ""))
    if kind is None or error.path.lower().endswith(kind.suffixes):
        return error
    return type(error)(error.path, f"is {kind.what}.", kind.hint)


def refuse_pointer(path: str, num_bytes: int) -> None:
    """Refuse a file of any bytes that is a pointer of Git LFS; `num_bytes` is its size.

    Raises:
      ChunkReadError: it is one.
    """
    if num_bytes >= _POINTER_BYTES:
        return
    with open_bytes(path, goes_on=False) as file:
        if file.read(len(_POINTER)) == _POINTER:
            raise ChunkReadError(path, f"is {_POINTER_KIND.what}.", _POINTER_KIND.hint)


def text_hint(path: str, head: bytes, before: bytes) -> str:
    """Return what helps where a text is not UTF-8.

    Args:
      path: The file.
      head: Its first bytes; b"" when they are not at hand.
      before: What is before the byte that is wrong.
    """
    if kind := file_kind(path, head[:_HEAD_BYTES]):
        return f"It is {kind.what}. {kind.hint}"
    if _CONTROLS.search(head[:_HEAD_BYTES]) or _CONTROLS.search(before[-_HEAD_BYTES:]):
        return "It is a binary file, no text"
    if not before.isascii():
        mended = conversion(path, "iconv -c -f UTF-8 -t UTF-8")
        return f"It is UTF-8 up to there: mend the line, or leave out such bytes: {mended}"
    return convert_hint(path, "LATIN1")


def _encoding(head: bytes) -> str:
    """Return the UTF-16 or UTF-32 that a text is in; "" for any other.  Without a mark, letters have NULs beside."""
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    for encoding, width, place in _UNMARKED:
        letters = head[place::width]
        num_nuls, num_others = head.count(0) - letters.count(0), len(head) - len(letters)
        if len(letters) > 1 and letters.count(0) < len(letters) / 20 and num_nuls > num_others * 0.9:
            return encoding
    return ""


def _is_text(head: bytes) -> bool:
    try:
        head[: head.rfind(b"\n") + 1].decode()
    except UnicodeDecodeError:
        return False
    return b"\n" in head and b"\0" not in head


def _json_kind(path: str, head: bytes) -> Kind | None:
    """Return what JSON is that is no line for each object."""
    begin = head.lstrip()
    if begin.startswith(b"[") and re.match(rb"\[\s*[{\n]", begin):
        hint = f"Write each object on a line of its own: {conversion(path, _JQ_ITEMS, suffix='.jsonl')}"
        return Kind("one JSON array, not JSON lines", hint)
    first, newline, _ = begin.partition(b"\n")
    if newline and first.startswith(b"{") and first.rstrip().endswith((b"{", b"[", b",")):
        hint = f"Write each object on one line: {conversion(path, 'jq -c .', suffix='.jsonl')}"
        return Kind("JSON laid out over several lines, not JSON lines", hint)
    return None
