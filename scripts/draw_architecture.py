"""Draw img/architecture.svg: the way of a sample, from the dump to the training loop."""

from pathlib import Path
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 1120, 430

STYLE = """
  text { font-family: -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif; fill: #24292f; }
  .title { font-size: 17px; font-weight: 600; }
  .small { font-size: 13px; fill: #57606a; }
  .code { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: 12.5px; }
  .frame { fill: none; stroke: #8c959f; stroke-width: 1.2; stroke-dasharray: 5 4; }
  .box { fill: #ffffff; stroke: #57606a; stroke-width: 1.2; }
  .yours { fill: #ddf4ff; stroke: #0969da; stroke-width: 1.6; }
  .disk { fill: #fff8c5; stroke: #9a6700; stroke-width: 1.2; }
  .loop { fill: #dafbe1; stroke: #1a7f37; stroke-width: 1.6; }
  .arrow { fill: none; stroke: #57606a; stroke-width: 1.8; marker-end: url(#tip); }
"""


OPENING = (
    f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}">\n'
    "<title>The way of a sample through pyloader</title>"
)
BACKGROUND = (
    f'<rect width="{WIDTH}" height="{HEIGHT}" rx="14" fill="#f6f8fa"/>'  # so that it can be read on a dark page
)
ARROW_HEAD = (
    '<defs><marker id="tip" viewBox="0 0 10 10" refX="8" refY="5" markerWidth="7" markerHeight="7" orient="auto">'
    '<path d="M 0 0 L 10 5 L 0 10 z" fill="#57606a"/></marker></defs>'
)

SHUFFLE = ("each chunk is dealt to the next K segments;", "each segment is mixed, and cut into batches")

DELIVER = (
    "the steps above are plain iterators; only this one knows threads. At most max_queue_size chunks are in memory;",
    "errors arrive as themselves, after the good batches before them; state_dict() says what the loop has received",
)


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "middle") -> str:
    return f'<text class="{kind}" x="{x}" y="{y}" text-anchor="{anchor}">{escape(words)}</text>'


def box(x: float, y: float, width: float, height: float, kind: str, title: str, *lines: str, code: str = "") -> str:
    """A rounded box with a title, lines below it, and one line of code."""
    middle, top = x + width / 2, y + 25
    parts = [f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{height}" rx="9"/>']
    parts.append(text(middle, top, title, "title"))
    parts += [text(middle, top + 21 + 17 * index, line, "small") for index, line in enumerate(lines)]
    if code:
        parts.append(text(middle, y + height - 12, code, "code"))
    return "\n".join(parts)


def arrow(x: float, y: float, *to: tuple[float, float]) -> str:
    points = " ".join(f"L {x} {y}" for x, y in to)
    return f'<path class="arrow" d="M {x} {y} {points}"/>'


def picture() -> str:
    once = [
        '<rect class="frame" x="14" y="40" width="216" height="376" rx="12"/>',
        text(122, 28, "once: pyloader split", "title"),
        box(34, 58, 176, 92, "disk", "dump", "does not fit in memory", "JSONL, text, CSV, .npy"),
        arrow(122, 150, (122, 184)),
        box(34, 188, 176, 92, "box", "split", "global shuffle, hold-out,", "bounded memory"),
        arrow(122, 280, (122, 314)),
        box(34, 318, 176, 84, "disk", "chunks", "one file per 64 MiB,", "and manifest.json"),
    ]
    # To the right along the upper row of boxes, back to the left along the lower one.
    run = [
        '<rect class="frame" x="262" y="40" width="844" height="376" rx="12"/>',
        text(684, 28, "every run: DataLoader, with a few chunks in memory (blue: yours to override)", "title"),
        box(
            282,
            58,
            190,
            106,
            "box",
            "plan",
            "who reads what, when:",
            "a function of the seed",
            code="epoch, segment, offset",
        ),
        arrow(472, 111, (500, 111)),
        box(504, 58, 220, 106, "yours", "read", "one chunk file", "→ columns", code="DataReader.read_file"),
        arrow(724, 111, (752, 111)),
        box(756, 58, 332, 106, "box", "shuffle", *SHUFFLE, code="shuffle_window=K"),
        arrow(922, 164, (922, 206)),
        box(756, 210, 332, 92, "yours", "encode", "raw columns → numbers", code="Dataset.batch_encode"),
        arrow(756, 256, (728, 256)),
        box(504, 210, 220, 92, "yours", "collate", "numbers → arrays", code="DataCollator.collate_batch"),
        arrow(504, 256, (476, 256)),
        box(282, 210, 190, 92, "loop", "your loop", "NumPy, PyTorch, JAX, ...", code="for batch in loader:"),
        box(282, 322, 806, 80, "box", "deliver: ahead of time, in order, within limits", *DELIVER),
        arrow(210, 360, (246, 360), (246, 187), (614, 187), (614, 168)),
    ]
    return "\n".join([OPENING, f"<style>{STYLE}</style>", ARROW_HEAD, BACKGROUND, *once, *run, "</svg>", ""])


def main() -> None:
    target = Path(__file__).resolve().parents[1] / "img" / "architecture.svg"
    target.write_text(picture(), encoding="utf-8")
    print(target)


if __name__ == "__main__":
    main()
