"""The look of pages: light and dark, on a phone and on paper, in colours that colour-blind people can tell apart."""

from __future__ import annotations

from pyloader.markup import escaped

__all__ = ["page", "wide"]

# Colours after Okabe and Ito; the lighter ones of the dark page have the same order of hues.
_LIGHT = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b88600", "#3b93c9", "#5b5b5b", "#8c4a8c")
_DARK = ("#56b4e9", "#ff9a4d", "#2fc89b", "#e3a1c6", "#f0c000", "#9fd3f5", "#bdbdbd", "#c99ad0")
_DASHES = ("none", "7 4", "2 4", "10 3 2 3", "5 2", "1 2", "12 4", "3 3")

_STYLE = """
:root { color-scheme: light dark; --ink: #1f2328; --soft: #59636e; --page: #fff; --card: #f6f8fa; --edge: #d1d9e0;
  --warn: #9a3412; }
@media screen and (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9198a1; --page: #0d1117;
  --card: #161b22; --edge: #3d444d; --warn: #ffb38a; DARK } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1rem; background: var(--page); color: var(--ink);
  font: 1rem/1.5 -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.5rem; margin: .5rem 0 0; overflow-wrap: anywhere; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
p { margin: .4rem 0; } .soft { color: var(--soft); } code { overflow-wrap: anywhere; }
code { font: .875rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
a { color: var(--c0); } a:focus-visible, summary:focus-visible, .wide:focus-visible { outline: 3px solid var(--c1);
  outline-offset: 2px; }
.skip { position: absolute; left: -100rem; } .skip:focus { left: 1rem; background: var(--page); padding: .5rem; }
nav ul { list-style: none; display: flex; flex-wrap: wrap; gap: .25rem 1rem; padding: 0; margin: .75rem 0; }
.verdict { border: 1px solid var(--edge); border-left: .4rem solid var(--c1); background: var(--card);
  padding: .75rem 1rem; border-radius: .4rem; margin: 1rem 0; } .verdict.good { border-left-color: var(--c2); }
.verdict b { font-size: 1.1rem; }
dl.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .5rem; margin: 1rem 0; }
dl.facts div { border: 1px solid var(--edge); border-radius: .4rem; padding: .5rem .75rem;
  display: flex; flex-direction: column; justify-content: space-between; }
dt { color: var(--soft); font-size: .85rem; } dd { margin: 0; font-size: 1.2rem; font-variant-numeric: tabular-nums; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 28rem), 1fr)); gap: 1rem; }
figure.chart { margin: 0; border: 1px solid var(--edge); border-radius: .4rem; padding: .75rem; min-width: 0; }
figcaption { margin-bottom: .5rem; color: var(--soft); } figcaption b { color: var(--ink); }
.plot { display: grid; grid-template-columns: auto 1fr; gap: .15rem .5rem; }
.plot svg { width: 100%; height: 11rem; overflow: visible; }
.ys { display: flex; flex-direction: column; justify-content: space-between; text-align: right; }
.ys, .xs { font-size: .8rem; color: var(--soft); font-variant-numeric: tabular-nums; }
.xs { grid-column: 2; display: flex; justify-content: space-between; }
path { fill: none; vector-effect: non-scaling-stroke; stroke-width: 2; }
.grid { stroke: var(--edge); stroke-width: 1; } .bound { stroke: var(--warn); stroke-dasharray: 6 4; }
.dots { stroke-width: 4; stroke-linecap: round; } .area { stroke: var(--page); stroke-width: 1; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: .1rem 1rem; padding: 0; margin: .4rem 0 0;
  font-size: .85rem; } .key { width: 1.5rem; height: .5rem; margin-right: .35rem; }
.meter { display: grid; grid-template-columns: 8rem 1fr 13rem; gap: .75rem; align-items: center;
  margin: .35rem 0; font-variant-numeric: tabular-nums; } .meter svg { width: 100%; height: .7rem; }
.track { fill: var(--edge); } .fill { fill: var(--c0); }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid var(--edge); vertical-align: top;
  white-space: nowrap; } .n { text-align: right; } .w { white-space: normal; min-width: 18rem;
  overflow-wrap: anywhere; } caption { text-align: left; color: var(--soft);
  white-space: normal; }
summary { cursor: pointer; font-size: .85rem; color: var(--soft); margin-top: .4rem; }
@media (max-width: 40rem) { .meter { grid-template-columns: 1fr auto; } .meter svg { grid-column: 1 / 3; order: 3; } }
@media print { body { max-width: none; font-size: 10pt; } nav, .skip, details { display: none; }
  figure, .verdict, tr { break-inside: avoid; } .plot svg { height: 8rem; } .wide { overflow: visible; } }
"""


def _style() -> str:
    def variables(colours: tuple[str, ...]) -> str:
        return " ".join(f"--c{number}: {colour};" for number, colour in enumerate(colours))

    rules = [f":root {{ {variables(_LIGHT)} }}"]
    rules += [
        f".line.s{n} {{ stroke: var(--c{n}); stroke-dasharray: {dash}; }} .area.s{n} {{ fill: var(--c{n}); }} "
        f".dots.s{n} {{ stroke: var(--c{n}); }}"
        for n, dash in enumerate(_DASHES)
    ]
    return "\n".join([*rules, _STYLE.replace("DARK", variables(_DARK))])


def page(title: str, body: str) -> str:
    """Return a whole page that asks for nothing from elsewhere, and has no scripts.

    Args:
      title: Of the page; it is escaped.
      body: HTML.
    """
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
        'img-src data:">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<link rel="icon" href="data:,">\n'
        f"<title>{escaped(title)}</title>\n<style>{_style()}</style>\n</head>\n<body>\n"
        f'<a class="skip" href="#main">To the content</a>\n{body}\n</body>\n</html>\n'
    )


def wide(table: str) -> str:
    """Return a table that scrolls where the screen is narrower, by keyboard too."""
    return f'<div class="wide" tabindex="0" role="region" aria-label="Table">{table}</div>'
