"""The tables of the pages docs/coming-from-*.md: what is there, and what is here."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_DOCS = Path(__file__).resolve().parents[2] / "docs"


def table_rows(page: str, heading: str) -> list[str]:
    """Return the left column of the tables under a heading of a page."""
    text = (_DOCS / page).read_text(encoding="utf-8")
    section = re.split(r"^## ", text.partition(f"## {heading}\n")[2], flags=re.M)[0]
    lines = re.findall(r"^\| (.+?) \| .+ \|$", section, re.M)
    assert lines, f"{page} has no table under {heading!r}"
    return [line for line in lines if line != "there"]


def check_each_row_is_shown(rows: list[str], shown: Mapping[str, Callable[..., Any]]) -> None:
    """Assert that each row begins like one key of `shown`, and each key like one row."""
    for row in rows:
        assert sum(row.startswith(key) for key in shown) == 1, f"nothing shows that this row is true: {row}"
    for key in shown:
        assert any(row.startswith(key) for row in rows), f"the page has no row any more that begins: {key}"


def note_in(table: dict[str, Callable[..., Any]]) -> Callable[..., Any]:
    """Return a decorator, `row(key)` or `row(key, other_table)`, that notes a test as the one that shows a row."""

    def row(key: str, noted: dict[str, Callable[..., Any]] = table) -> Callable[..., Any]:
        def note(test: Callable[..., Any]) -> Callable[..., Any]:
            noted[key] = test
            return test

        return note

    return row


def module_if_there(name: str) -> Any:
    """Return another library, or None where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None
