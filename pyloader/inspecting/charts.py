"""Charts: lines, stacked areas, dots and meters as SVG in HTML, each with its numbers as a table.

The SVG holds marks alone, and stretches; words and numbers are HTML around it, so that they keep their size on a phone.
Colours are classes, which the page's style gives for light and for dark; lines also differ by their dashes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from pyloader.markup import escaped, html_table

__all__ = ["NUM_COLOURS", "Series", "dots_chart", "line_chart", "meter", "stacked_chart"]

NUM_COLOURS = 8
_WIDTH, _HEIGHT = 1000, 200
_TABLE_ROWS = 24


@dataclass(frozen=True, slots=True)
class Series:
    """Numbers over time: values[i] at the time xs[i]."""

    name: str
    xs: Sequence[float]
    values: Sequence[float]


def line_chart(
    title: str,
    series: Sequence[Series],
    *,
    x_text: Callable[[float], str],
    y_text: Callable[[float], str],
    y_most: float | None = None,
    bound: float | None = None,
    said: str = "",
) -> str:
    """Return a figure with a line for each series.

    Args:
      title: What is shown.
      series: At least one, each with at least one number.
      x_text: A place on the axis of time, in words.
      y_text: A value, in words.
      y_most: The upper end of the axis; None is the largest value.
      bound: A value that none may exceed, as a line of its own; None has none.
      said: What to see in it.
    """
    most = max([y_most or 0.0, bound or 0.0, *(value for one in series for value in one.values)]) or 1.0
    first, last = _ends(series)
    marks = [] if bound is None else [_path(f"M0 {_y(bound, most)}H{_WIDTH}", "bound")]
    for number, one in enumerate(series):
        places = [f"{_x(x, first, last)} {_y(value, most)}" for x, value in zip(one.xs, one.values, strict=True)]
        line = f"M{places[0]}h0" if len(places) == 1 else f"M{'L'.join(places)}"
        marks.append(_path(line, f"line s{number % NUM_COLOURS}"))
    names = [one.name for one in series] if len(series) > 1 else []
    return _figure(
        title,
        marks,
        names,
        said,
        ys=(y_text(most), y_text(0)),
        xs=(x_text(first), x_text(last)),
        table=_numbers(series, x_text, y_text),
        kind="line",
        notes=[] if bound is None else [f"dashed: the bound, {y_text(bound)}"],
    )


def stacked_chart(
    title: str,
    series: Sequence[Series],
    *,
    x_text: Callable[[float], str],
    y_text: Callable[[float], str],
    said: str = "",
) -> str:
    """Return a figure with areas one upon the other; all series have the same times."""
    first, last = _ends(series)
    xs = [_x(x, first, last) for x in series[0].xs]
    below = [0.0] * len(xs)
    edges = [below]
    for one in series:
        below = [lower + value for lower, value in zip(below, one.values, strict=True)]
        edges.append(below)
    most = max(below) or 1.0
    marks = []
    for number, (lower, upper) in enumerate(pairwise(edges)):
        there = [f"{x} {_y(value, most)}" for x, value in zip(xs, upper, strict=True)]
        back = [f"{x} {_y(value, most)}" for x, value in zip(xs[::-1], lower[::-1], strict=True)]
        marks.append(_path(f"M{'L'.join(there + back)}Z", f"area s{number % NUM_COLOURS}"))
    table = _numbers(series, x_text, y_text)
    ends = {"ys": (y_text(most), y_text(0)), "xs": (x_text(first), x_text(last))}
    return _figure(title, marks, [one.name for one in series], said, table=table, kind="area", **ends)


def dots_chart(
    title: str, dots: Sequence[tuple[float, float]], *, x_text: Callable[[float], str], y_most: float, said: str = ""
) -> str:
    """Return a figure with a dot for each (time, number)."""
    first, last = min(0.0, *(x for x, _ in dots)), max(x for x, _ in dots)
    path = "".join(f"M{_x(x, first, last)} {_y(y, y_most)}h0" for x, y in dots)
    ends = {"ys": (f"{y_most:,.0f}", "0"), "xs": (x_text(first), x_text(last))}
    chosen = dots[:: max(1, -(-len(dots) // _TABLE_ROWS))]
    table = html_table(("time", "chunk"), [(x_text(x), f"{y:,.0f}") for x, y in chosen], numbers={0, 1})
    return _figure(title, [_path(path, "dots s0")], [], said, table=table, kind="dots", **ends)


def meter(name: str, value: float, bound: float, text: str) -> str:
    """Return a bar that is filled as far as a bound is used, with a text beside it."""
    share = min(1.0, value / bound) if bound > 0 else 0.0
    label = f"{escaped(name)}: {escaped(text)}"
    bar = f'<svg viewBox="0 0 100 8" preserveAspectRatio="none" role="img" aria-label="{label}">'
    bar += (
        f'<rect class="track" width="100" height="8"/><rect class="fill" width="{100 * share:.1f}" height="8"/></svg>'
    )
    return f'<div class="meter"><span>{escaped(name)}</span>{bar}<span>{escaped(text)}</span></div>'


def _figure(
    title: str,
    marks: Sequence[str],
    names: Sequence[str],
    said: str,
    *,
    ys: tuple[str, str],
    xs: tuple[str, str],
    table: str,
    kind: str,
    notes: Sequence[str] = (),
) -> str:
    legend = "".join(
        f'<li><svg class="key" viewBox="0 0 24 8" aria-hidden="true"><path class="{kind} s{number % NUM_COLOURS}" '
        f'd="{"M0 4H24" if kind == "line" else "M0 0H24V8H0Z"}"/></svg>{escaped(name)}</li>'
        for number, name in enumerate(names)
    ) + "".join(f"<li>{escaped(note)}</li>" for note in notes)
    described = f"{title}. {said}".strip()
    return (
        f'<figure class="chart"><figcaption><b>{escaped(title)}</b> {escaped(said)}</figcaption>'
        f'<div class="plot"><div class="ys"><span>{escaped(ys[0])}</span><span>{escaped(ys[1])}</span></div>'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" role="img">'
        f'<title>{escaped(described)}</title><path class="grid" d="M0 0H{_WIDTH}M0 {_HEIGHT // 2}H{_WIDTH}'
        f'M0 {_HEIGHT}H{_WIDTH}"/>{"".join(marks)}</svg>'
        f'<div class="xs"><span>{escaped(xs[0])}</span><span>{escaped(xs[1])}</span></div></div>'
        + (f'<ul class="legend">{legend}</ul>' if legend else "")
        + f'<details><summary>The numbers as a table</summary><div class="wide">{table}</div></details></figure>'
    )


def _numbers(series: Sequence[Series], x_text: Callable[[float], str], y_text: Callable[[float], str]) -> str:
    """Return the numbers of some times as a table: of each series the value at the place nearest in order."""
    longest = max(series, key=lambda one: len(one.xs))
    rows = []
    for index in range(0, len(longest.xs), max(1, -(-len(longest.xs) // _TABLE_ROWS))):
        share = index / max(1, len(longest.xs) - 1)
        values = [one.values[round(share * (len(one.values) - 1))] for one in series]
        rows.append([x_text(longest.xs[index]), *map(y_text, values)])
    return html_table(["time", *(one.name for one in series)], rows, numbers=range(len(series) + 1))


def _ends(series: Sequence[Series]) -> tuple[float, float]:
    return min(0.0, *(min(one.xs) for one in series)), max(max(one.xs) for one in series)


def _x(x: float, first: float, last: float) -> int:
    return round(_WIDTH * (x - first) / (last - first)) if last > first else _WIDTH // 2


def _y(value: float, most: float) -> int:
    return round(_HEIGHT * (1 - min(1.0, max(0.0, value / most))))


def _path(path: str, classes: str) -> str:
    return f'<path class="{classes}" d="{path}"/>'
