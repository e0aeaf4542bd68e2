"""JSON lines, checked: every row a JSON object with the same keys.  What needs no change keeps its bytes."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec
import numpy as np

from pyloader.errors import ChunkReadError, SplitError
from pyloader.files import text_of
from pyloader.read.json_problems import NOT_FINITE, json_problem
from pyloader.write.kinds import INT64, KindsOfColumns, kind_of, type_of_kinds
from pyloader.write.rows import Rows

__all__ = ["LineChecker"]

_NULL = msgspec.Raw(b"null")
_OPEN, _CLOSE = ord("{"), ord("}")


class LineChecker:
    """Checks blocks of JSON lines, and learns what the columns are.

    The common case is one call into a decoder that knows the columns' types; only a block that it refuses is looked at
    line by line, to learn a new kind of value or to name the line that is wrong.

    Args:
      kinds: What is known of the columns from before; changed in place.
      columns: The keys to keep; None keeps all.
      fill: Key -> the value for rows without it.
      filled: Key -> how many rows lacked it; changed in place.
      leave_out: Called with (error, file, line, stage) of a line that is no such row; raises the error, or returns to
        go past the line.
    """

    def __init__(
        self,
        kinds: KindsOfColumns,
        *,
        columns: Sequence[str] | None,
        fill: Mapping[str, Any] | None,
        filled: dict[str, int],
        leave_out: Callable[[Exception, str, int, str], None],
    ) -> None:
        self.kinds, self._filled, self._leave_out = kinds, filled, leave_out
        self._chosen = None if columns is None else list(columns)
        self._fill = dict(fill or {})
        self._decoder: Any = None
        self._raw_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
        self._raw_fill = {key: msgspec.Raw(msgspec.json.encode(value)) for key, value in self._fill.items()}
        self._build()

    def check(self, lines: Rows, name: str, first_line: int) -> tuple[Rows, np.ndarray]:
        """Return those of `lines` that are rows, and the number of each one; blank lines are none.

        Args:
          lines: Each ended by a newline.
          name: The file, for errors.
          first_line: The number of the first line, from 1.

        Raises:
          SplitError: a line is no JSON object, or has other keys than the first one had, and is not left out.
        """
        numbers = np.arange(first_line, first_line + len(lines))
        if self._decoder is None:
            self._learn_first(lines, name, first_line)
        return (lines, numbers) if self._accepts(lines) else self._check_slowly(bytes(lines.data), name, first_line)

    def rewritten(self, rows: Rows, name: str, first_line: int) -> Rows:
        """Return checked rows with the chosen keys only, and the missing ones filled in; values keep their bytes."""
        if self._chosen is None and not self._fill:
            return rows
        samples = self._raw_decoder.decode_lines(rows.data)
        for key, fill in self._raw_fill.items():
            for sample in samples:
                if bytes(sample.get(key, _NULL)) == b"null":
                    sample[key] = fill
                    self._filled[key] = self._filled.get(key, 0) + 1
            if key in self.kinds and self._filled.get(key):
                self.kinds[key].add(kind_of(type(self._fill[key])))  # a line without it need not have been looked at
        self._check_fill(name, first_line)
        chosen = [{key: sample[key] for key in self.kinds} for sample in samples]
        return Rows.of_lines(msgspec.json.Encoder().encode_lines(chosen))

    def _check_fill(self, name: str, line: int) -> None:
        """Refuse a NaN beside text: it is null in JSON, and only in a column of numbers that is read as NaN."""
        for key, value in self._fill.items():
            others = self.kinds.get(key, set()) - {"int", "float"}
            if value != value and self._filled.get(key) and others:
                what = f"has {key!r} as {' and '.join(sorted(others))}, beside the NaN that fills it."
                raise SplitError(name, what, f"Fill it with text: --fill {key}=''", line)

    def _accepts(self, rows: Rows) -> bool:
        """Tell whether each line is one object with the columns and kinds known so far."""
        if self._decoder is None or not _lines_are_bare(rows):
            return False
        try:
            return len(self._decoder.decode_lines(rows.data)) == len(rows)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False

    def _learn_first(self, lines: Rows, name: str, number: int) -> None:
        """Take from the first line what the columns are, if it is a row: most often all lines are like it."""
        with suppress(SplitError):
            self._learn(_sample_of(bytes(lines.slice(0, 1).data), name, number), name, number)
            if not any("float" in kinds for kinds in self.kinds.values()):  # a decoder takes whole numbers for these
                self._build()

    def _check_slowly(self, block: bytes, name: str, first_line: int) -> tuple[Rows, np.ndarray]:
        kept: list[bytes] = []
        numbers: list[int] = []
        for number, line in enumerate(block.split(b"\n"), start=first_line):
            if not (line := line.strip()):
                continue
            try:
                self._learn(_sample_of(line, name, number), name, number)
            except SplitError as exc:
                self._leave_out(exc, name, number, "read")
                continue
            kept.append(line + b"\n")
            numbers.append(number)
        self._build()
        return Rows.of_pieces(kept), np.array(numbers, np.int64)

    def _learn(self, sample: dict[str, Any], name: str, number: int) -> None:
        for key, value in self._fill.items():
            if sample.get(key) is None:
                sample[key] = value
        keys = list(self.kinds or self._chosen or sample)
        if sample.keys() != set(keys):
            self._refuse(sample, keys, name, number)
        for key in keys:
            if type(sample[key]) is int and sample[key] not in INT64:
                what = f"has {sample[key]} in {key!r}, which int64 cannot hold."
                raise SplitError(name, what, "Write it as text", number)
        for key in keys:  # a line that is left out has changed nothing
            self.kinds.setdefault(key, set()).add(kind_of(type(sample[key])))

    def _refuse(self, sample: dict[str, Any], keys: Sequence[str], name: str, number: int) -> None:
        missing = [key for key in keys if key not in sample]
        more = [key for key in sample if key not in keys]
        close: list[str] = []
        if missing and not self.kinds:  # the first row: what --columns names is perhaps mistyped
            what = f"has no column {_named(missing)}; it has {_named(list(sample))}."
            close = difflib.get_close_matches(missing[0], sample, n=1)
        elif missing:
            what = f"lacks {_named(missing)}, which the rows before it have."
        elif self._chosen is None:
            what = f"has {_named(more)}, which the rows before it lack."
        else:
            return
        shared = [key for key in keys if key in sample]
        hint = f"Did you mean {close[0]!r}? Else say" if close else "Say"
        hint += f" what to put there: {' '.join(self._fill_option(key) for key in missing or more)}"
        if shared:
            hint += f", or keep only the shared ones: --columns {','.join(shared)}"
        raise SplitError(name, what, hint, number)

    def _fill_option(self, key: str) -> str:
        return f"--fill {key}={'nan' if self.kinds.get(key, set()) & {'int', 'float'} else 'null'}"

    def _build(self) -> None:
        if not self.kinds or any(re.search(r'[\\"\x00-\x1f]', key) for key in self.kinds):
            return  # msgspec has no types with such names; then each line is looked at
        names = {f"c{index}": key for index, key in enumerate(self.kinds)}
        fields: list[Any] = []
        for field, key in names.items():
            may_lack = key in self._fill
            kind = type_of_kinds(self.kinds[key] | {"null"} if may_lack else self.kinds[key])
            fields.append((field, kind, None) if may_lack else (field, kind))
        strict = self._chosen is None
        row = msgspec.defstruct("Row", fields, rename=names, forbid_unknown_fields=strict, gc=False, kw_only=True)
        self._decoder = msgspec.json.Decoder(row)


def _sample_of(line: bytes, name: str, number: int) -> dict[str, Any]:
    try:
        sample = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise _not_json(line, exc, name, number) from exc
    if not isinstance(sample, dict) or not sample:
        found = "an object without keys" if sample == {} else _json_name(sample)
        raise SplitError(name, f"is {found}, not an object with keys.", 'Write a line like {"text": "..."}', number)
    return sample


def _lines_are_bare(rows: Rows) -> bool:
    """Tell whether each line begins with { and ends with }.

    As JSON strings hold no newline, no object can then reach over a line's end; where the decoder finds as many objects
    as there are lines, each line is one object.
    """
    data = np.frombuffer(rows.data, np.uint8)
    starts = np.concatenate([[0], rows.ends[:-1]])
    if np.any(rows.ends - starts < 3):
        return False
    return bool(np.all(data[starts] == _OPEN) and np.all(data[rows.ends - 2] == _CLOSE))


def _not_json(line: bytes, exc: Exception, name: str, number: int) -> SplitError:
    try:
        text_of(line, name, number)
    except ChunkReadError as found:
        return SplitError(name, found.what, found.hint, number)
    what, hint = json_problem(line, exc)
    hint += ", and say what stands for it: --fill KEY=nan" if hint == NOT_FINITE else ""
    return SplitError(name, what, hint or "Mend or remove the line", number)


def _named(keys: Sequence[str]) -> str:
    return " and ".join(map(repr, keys)) if len(keys) < 3 else f"{', '.join(map(repr, keys[:-1]))} and {keys[-1]!r}"


def _json_name(value: Any) -> str:
    names = {list: "a list", str: "a string", bool: "a truth value", type(None): "null"}
    return names.get(type(value), "a number")
