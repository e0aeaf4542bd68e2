"""The page of `pyloader plan --html`: one file, without scripts, that nothing is fetched for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

__all__ = ["page"]

_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { padding: .35rem .75rem; border-bottom: 1px solid color-mix(in srgb, currentColor 25%, transparent); }
th { text-align: left; font-weight: 600; white-space: nowrap; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.what { opacity: .8; }
dt { font-weight: 600; } dd { margin: 0 0 .5rem; overflow-wrap: anywhere; white-space: pre-wrap; }
@media (max-width: 40rem) { th, td { padding: .3rem .4rem; } td.what { min-width: 14rem; } }
@media print { body { margin: 0; max-width: none; } }
"""


def page(head: Sequence[tuple[str, str]], rows: Sequence[Sequence[str]], notes: Sequence[tuple[str, str]]) -> str:
    """Return the page of a plan.

    Args:
      head: What is planned: labels, each with a text.
      rows: The table: a label, a number for each window, and what the number is.
      notes: What to be warned of, and what to do: labels, "" for more of the one before, each with a text.
    """
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>Plan of a run</title><style>{_STYLE}</style></head><body>",
            "<h1>Plan of a run</h1>",
            *_described(head),
            '<div class="scroll" tabindex="0" role="region" aria-label="The numbers, a column for each window"><table>',
            *map(_row, rows),
            "</table></div>",
            *_described(notes),
            "</body></html>",
            "",
        ]
    )


def _described(texts: Sequence[tuple[str, str]]) -> Iterator[str]:
    yield "<dl>"
    for label, text in texts:
        yield f"{f'<dt>{escape(label)}</dt>' if label else ''}<dd>{escape(text)}</dd>"
    yield "</dl>"


def _row(row: Sequence[str]) -> str:
    label, *numbers, what = map(escape, row)
    cells = "".join(f'<td class="number">{number}</td>' for number in numbers)
    return f'<tr><th scope="row">{label}</th>{cells}<td class="what">{what}</td></tr>'
