"""Markup: texts and tables as HTML, for notebooks and pages.  Names come from strangers: nothing in them is markup."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

__all__ = ["escaped", "html_table", "notebook_table"]

_STYLE = "border-collapse:collapse;text-align:left;font-variant-numeric:tabular-nums"


def escaped(text: object) -> str:
    """Return a text that means itself, in an element and in an attribute; what cannot be seen is spelled out."""
    found = str(text)
    if not found.isprintable():
        found = "".join(
            each if each.isprintable() else "⏎" if each == "\n" else each.encode("unicode_escape").decode()
            for each in found
        )
    import html  # here: few commands make a page, and many know a manifest

    return html.escape(found)


def html_table(
    titles: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    numbers: Collection[int] = (),
    long: Collection[int] = (),
    caption: str = "",
) -> str:
    """Return a table whose cells are escaped.

    Args:
      titles: Of the columns.
      rows: As many texts each.
      numbers: Which columns are aligned at the right, class "n", counted from 0.
      long: Which columns have texts that take several lines, class "w".
      caption: What the table shows; "" leaves it out.
    """
    classes = [
        ' class="n"' if column in numbers else ' class="w"' if column in long else "" for column in range(len(titles))
    ]
    head = "".join(f'<th scope="col"{c}>{escaped(title)}</th>' for c, title in zip(classes, titles, strict=True))
    body = "".join(
        f"<tr>{''.join(f'<td{c}>{escaped(cell)}</td>' for c, cell in zip(classes, row, strict=True))}</tr>"
        for row in rows
    )
    said = f"<caption>{escaped(caption)}</caption>" if caption else ""
    return f"<table>{said}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def notebook_table(title: str, rows: Iterable[tuple[str, object]]) -> str:
    """Return a table of names and texts with a title, as `_repr_html_` shows an object.

    Three spaces in a text, which HTML would show as one, become a dot.
    """
    cells = "".join(
        f'<tr><th scope="row" style="text-align:left">{escaped(name)}</th>'
        f'<td style="text-align:left">{escaped(str(text).replace("   ", " · "))}</td></tr>'
        for name, text in rows
    )
    return f'<table style="{_STYLE}"><caption style="text-align:left">{escaped(title)}</caption>{cells}</table>'
