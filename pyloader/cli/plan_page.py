"""The page of `pyloader plan --html`: what the screen says, in the look of reports."""

from __future__ import annotations

from collections.abc import Sequence

from pyloader.inspecting.page_style import page, wide
from pyloader.markup import escaped, html_table

__all__ = ["plan_page"]


def plan_page(head: Sequence[tuple[str, str]], rows: Sequence[Sequence[str]], notes: Sequence[tuple[str, str]]) -> str:
    """Return the page of a plan.

    Args:
      head: What is planned: labels, each with a text.
      rows: The table, titles first: a label, a number for each window, and what the number is.
      notes: What to be warned of, and what to do: labels, "" for more of the one before, each with a text.
    """
    titles, *numbers = rows
    table = html_table(titles, numbers, numbers=range(1, len(titles) - 1), long={len(titles) - 1})
    told = "".join(f"<p>{_labelled(label, text)}</p>" for label, text in head)
    whole: list[tuple[str, str]] = []
    for label, text in notes:
        whole.append((label, text) if label or not whole else (whole[-1][0], f"{whole.pop()[1]} {text}"))
    more = "".join(_note(label, text) for label, text in whole)
    body = f'<header><h1>Plan of a run</h1>{told}</header><main id="main">{wide(table)}{more}</main>'
    return page("Plan of a run", body)


def _note(label: str, text: str) -> str:
    box = ' class="verdict" role="note"' if label == "warning" else ""
    return f"<div{box}><p>{_labelled(label, text)}</p></div>"


def _labelled(label: str, text: str) -> str:
    return f"{f'<b>{escaped(label)}</b> ' if label else ''}{escaped(text)}"
