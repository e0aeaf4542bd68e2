"""The figures as Markdown tables, one a workload."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from contenders import CONTENDERS
from running import Result

__all__ = ["TITLES", "as_tables", "best_of_each", "with_tables"]

TITLES = {
    "dense": "dense: 300,000 x float32 [28, 28] and label, batch 256",
    "small": "small: 5,000,000 x float32 [16] and label, batch 256",
    "text": "text: 1,000,000 JSON lines of 400 bytes to 64 ids, batch 256",
    "tokens": "tokens: 97,560 windows of 1,025 uint16, batch 32",
    "dense cold": "dense cold: the dense files, forgotten by the page cache; one pass from its beginning",
}
_HEAD = "| | samples/s | of the bare loop | first batch | memory | chunks in a batch | an epoch |"


def as_tables(results: Sequence[Result], skipped: Mapping[str, str]) -> str:
    """Return a table for each workload, the fastest first, then who was left out, and how each was used."""
    parts = []
    for workload in dict.fromkeys(result.case.workload for result in results):
        mine = [result for result in results if result.case.workload == workload]
        parts.append(f"### {TITLES[workload]}\n\n{_table(mine)}")
    failed = [f"- {result.case}: {result.error}" for result in results if result.error]
    absent = [f"- {name}: {reason}" for name, reason in skipped.items()]
    if failed or absent:
        parts.append("Without figures:\n\n" + "\n".join([*failed, *absent]))
    used = {result.case.contender for result in results}
    remarks = [f"- {contender.name}: {contender.remark}." for name, contender in CONTENDERS.items() if name in used]
    parts.append("How each was used:\n\n" + "\n".join(remarks))
    return "\n\n".join(parts) + "\n"


def best_of_each(results: Iterable[Result]) -> list[Result]:
    """Return the fastest of those that differ in their workers only, the fastest first."""
    best: dict[tuple[str, str, str], Result] = {}
    for result in results:
        key = (result.case.workload, *result.case.group)
        if not result.error and (key not in best or result.rate > best[key].rate):
            best[key] = result
    return sorted(best.values(), key=lambda result: -result.rate)


def with_tables(document: str, tables: str) -> str:
    """Return a document with what stands between its two marks replaced.

    Raises:
      ValueError: it has no such marks.
    """
    begin, end = "<!-- figures: written by scripts/bench -->", "<!-- end of the figures -->"
    if begin not in document or end not in document:
        raise ValueError(f"the document has no place for figures: {begin} ... {end}")
    before, rest = document.split(begin, 1)
    return f"{before}{begin}\n\n{tables}\n{end}{rest.split(end, 1)[1]}"


def _table(results: Sequence[Result]) -> str:
    bare = next((result.rate for result in best_of_each(results) if result.case.contender == "bare_loop"), None)
    most = max((run["num_samples"] for result in results for run in result.runs), default=0)
    rows = [_row(result, bare, most) for result in best_of_each(results)]
    return "\n".join([_HEAD, f"|---{'|---' * 6}|", *rows])


def _row(result: Result, bare: float | None, most_samples: int) -> str:
    case = result.case
    name = f"{case.name}{f', {case.configuration}' if case.configuration else ''}"
    if (num_samples := result.runs[0]["num_samples"]) < most_samples:
        name += f" (the first {num_samples:,} samples)"
    cells = [
        f"**{name}**" if case.contender == "pyloader_chunks" else name,
        _in_three_digits(result.rate),
        f"{result.rate / bare:.2g}" if bare else "",
        f"{result.median('first_batch_seconds') * 1000:,.0f} ms",
        f"{result.median('memory_bytes') / 1e6:,.0f} MB",
        f"{result.median('mixing'):.1f}",
        result.coverage,
    ]
    if case.contender == "limits":
        cells[3:] = ["", "", "", ""]
    return f"| {' | '.join(cells)} |"


def _in_three_digits(rate: float) -> str:
    return f"{float(f'{rate:.3g}'):,.0f}"
