"""Report pages: a run as one HTML file that needs nothing else, for a browser, a phone, or paper."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from pyloader.inspecting.charts import NUM_COLOURS, Series, dots_chart, line_chart, meter, stacked_chart
from pyloader.inspecting.page_style import page, wide
from pyloader.inspecting.run_report import RankReport, RunReport, rates_of
from pyloader.markup import escaped, html_table
from pyloader.options import format_bytes

__all__ = ["report_page"]

_RANKS_SHOWN = 128  # as rows of a table
_ROWS_SHOWN = 100
_FILES_SHOWN, _STEPS_SHOWN = 3, 12
_MIXED_POINTS, _MIXED_CHUNKS = 160, 16
_LITTLE_WAITING = 0.05


def report_page(report: RunReport) -> str:
    """Return the page of a run."""
    parts = {
        "Ranks": _ranks(report),
        "Over time": _over_time(report),
        "Stages": _stages(report),
        "Slowest steps": _slowest(report),
        "Mixing": _mixing(report),
        "Sources": _sources(report),
        "Bounds": _bounds(report),
        "Left out": _left_out(report),
        "Predicted": _predicted(report),
    }
    shown = {title: html for title, html in parts.items() if html}
    links = "".join(f'<li><a href="#{_anchor(title)}">{escaped(title)}</a></li>' for title in shown)
    sections = "".join(
        f'<section id="{_anchor(title)}"><h2>{escaped(title)}</h2>{html}</section>' for title, html in shown.items()
    )
    body = f'<header>{_head(report)}<nav aria-label="Sections"><ul>{links}</ul></nav></header>'
    return page(
        f"pyloader: {report.directory}", f'{body}<main id="main">{_verdict(report)}{_facts(report)}{sections}</main>'
    )


def _head(report: RunReport) -> str:
    begun = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(min(max(0.0, report.begun), 2.0**35)))
    slowest, num_ranks = report.slowest, len(report.ranks)
    quiet = min(rank.quiet_seconds for rank in report.ranks)
    said = [
        f"{num_ranks} rank{'s' if num_ranks > 1 else ''}",
        f"begun {begun}",
        f"{_time(max(rank.seconds for rank in report.ranks))} of running"
        + (f" in {slowest.num_runs} runs" if slowest.num_runs > 1 else ""),
        "it is going on" if report.is_going_on else f"nothing new for {_time(quiet)}",
    ]
    loader = str(slowest.history.about.get("loader", ""))[:2000]
    return (
        f"<h1>{escaped(report.directory)}</h1><p class='soft'>{escaped(' · '.join(said))}</p>"
        f"<details><summary>The loader</summary><p><code>{escaped(loader)}</code></p></details>"
    )


def _verdict(report: RunReport) -> str:
    slowest = report.slowest
    where = f" of rank {slowest.rank}" if len(report.ranks) > 1 else ""
    waits = f"The loop{where} waits {slowest.waiting:.1%} of its time for data"
    if not slowest.metrics:
        said = ["<b>It has begun, and no batch has come yet.</b>"]
    elif not slowest.verdict:
        said = [f"<b>{escaped(waits)}.</b>", "<p>Data does not hold this run up: there is nothing to change.</p>"]
    else:
        stage, _, advice = slowest.verdict.partition(": ")
        waits += f", and what works most is {stage}" if slowest.waiting < _LITTLE_WAITING else f": for {stage}"
        share = f", which works {slowest.busy[stage]:.0%} of its threads' time" if stage in slowest.busy else ""
        said = [f"<b>{escaped(waits)}</b>{escaped(share)}.", f"<p>What to write: {escaped(advice)}.</p>"]
    said += [f"<p>Rank {escaped(one.rank)} {escaped(one.why)}.</p>" for one in report.stragglers[:8]]
    good = "" if slowest.verdict or report.stragglers else " good"
    return f'<div class="verdict{good}" role="note">{"".join(said)}</div>'


def _facts(report: RunReport) -> str:
    slowest, metrics = report.slowest, report.slowest.metrics
    facts = {
        "samples/s, all ranks": f"{sum(rank.samples_per_second for rank in report.ranks):,.0f}",
        "waiting for data": f"{slowest.waiting:.1%}",
        "steps": f"{max(rank.metrics.get('steps_done', 0) for rank in report.ranks):,.0f}",
        "epochs done": f"{max(rank.metrics.get('epochs_done', 0) for rank in report.ranks):,.0f}",
        "first batch after": _time(metrics.get("first_wait_seconds", 0)),
        "95% of batches within": _time(metrics.get("wait_p95_seconds", 0)),
        "99% of batches within": _time(metrics.get("wait_p99_seconds", 0)),
        "longest wait": _time(metrics.get("longest_wait_seconds", 0)),
    }
    if "mixed_chunks" in metrics:
        facts["chunks in a batch"] = f"{metrics['mixed_chunks']:.1f}"
    if "packed_fill" in metrics:
        facts["packed rows filled"] = f"{metrics['packed_fill']:.1%}"
    for name, title in (("dropped_samples", "samples dropped"), ("filled_samples", "samples repeated")):
        if number := sum(rank.metrics.get(name, 0) for rank in report.ranks):
            facts[title] = f"{number:,.0f}"
    cells = "".join(f"<div><dt>{escaped(name)}</dt><dd>{escaped(text)}</dd></div>" for name, text in facts.items())
    return f'<dl class="facts">{cells}</dl>'


def _ranks(report: RunReport) -> str:
    if len(report.ranks) < 2:
        return ""
    named = {one.rank: one.stage or "?" for one in report.stragglers}
    rows = [
        (
            one.rank,
            one.host,
            f"{one.metrics.get('steps_done', 0):,.0f}",
            f"{one.samples_per_second:,.0f}",
            f"{one.waiting:.1%}",
            _time(one.metrics.get("wait_p95_seconds", 0)),
            named.get(one.rank, ""),
            one.verdict,
        )
        for one in report.ranks[:_RANKS_SHOWN]
    ]
    titles = ("rank", "host", "step", "samples/s", "waiting", "wait p95", "straggles in", "waits for")
    more = len(report.ranks) - len(rows)
    said = "The rank that waits most comes first." + (f" {more:,} more are not shown." if more > 0 else "")
    return wide(html_table(titles, rows, numbers={0, 2, 3, 4, 5}, long={7}, caption=said))


def _over_time(report: RunReport) -> str:
    shown = [(rank, rates) for rank in report.ranks[:NUM_COLOURS] if len(rates := rates_of(rank.history)) > 1]
    if not shown:
        return "<p>The run is too short for a line over time: the log gets a line a second.</p>"
    times = [[rate.seconds for rate in rates] for _, rates in shown]

    def series(of: Callable[[int], list[float]]) -> list[Series]:
        return [Series(f"rank {rank.rank}", times[n], of(n)) for n, (rank, _) in enumerate(shown)]

    some = f" The {len(shown)} ranks that wait most." if len(report.ranks) > len(shown) else ""
    charts = [
        line_chart(
            "Samples a second",
            series(lambda n: [rate.samples for rate in shown[n][1]]),
            x_text=_time,
            y_text=_count,
            said=f"Of each rank.{some}",
        ),
        line_chart(
            "Waiting for data",
            series(lambda n: [rate.waiting for rate in shown[n][1]]),
            x_text=_time,
            y_text=_share,
            y_most=1.0,
            said=f"The share of its time that the loop waited.{some}",
        ),
    ]
    if any(rate.fetched for _, rates in shown for rate in rates):
        fetched = series(lambda n: [rate.fetched for rate in shown[n][1]])
        charts.append(line_chart("Bytes a second from the store", fetched, x_text=_time, y_text=_bytes))
    return f'<div class="charts">{"".join(charts)}</div>'


def _stages(report: RunReport) -> str:
    slowest = report.slowest
    busy = {stage: share for stage, share in slowest.busy.items() if share > 0}
    if not busy:
        return ""
    threads = slowest.history.threads
    seconds = slowest.metrics
    meters = "".join(
        meter(
            stage,
            share,
            1.0,
            f"{share:.0%} of {threads(stage)} thread{'s' if threads(stage) > 1 else ''}, "
            f"{_time(seconds.get(f'busy_{stage}_seconds', 0))}",
        )
        for stage, share in busy.items()
    )
    rates = rates_of(slowest.history)
    chart = ""
    if len(rates) > 1:
        times = [rate.seconds for rate in rates]
        stages = [Series(stage, times, [rate.busy.get(stage, 0.0) for rate in rates]) for stage in busy]
        chart = stacked_chart(
            "Threads at work, by stage", stages, x_text=_time, y_text=lambda n: f"{n:.2f}", said="One upon the other."
        )
    of = f" Of rank {escaped(slowest.rank)}." if len(report.ranks) > 1 else ""
    return (
        f"<p class='soft'>How much of the time of its threads each stage worked. The loop waits for the one that is "
        f"nearest to all of it.{of}</p>{meters}<div class='charts'>{chart}</div>"
    )


def _slowest(report: RunReport) -> str:
    found = sorted(
        ((slow, rank.rank) for rank in report.ranks for slow in rank.history.slowest),
        key=lambda each: -each[0].wait_seconds,
    )[:_STEPS_SHOWN]
    rows = [
        (
            f"{slow.step:,}",
            rank,
            _time(slow.wait_seconds),
            _time(slow.seconds),
            _last(slow.files),
            _some(slow.files[:-1]),
        )
        for slow, rank in found
    ]
    caption = "Steps that the loop waited longest for: at most one of each second."
    titles = ("step", "rank", "waited", "after", "chunk that came last", "mixed with")
    shown = 6 if any(slow.files for slow, _ in found) else 4  # items are in no chunks
    table = html_table(titles[:shown], [row[:shown] for row in rows], numbers={0, 1, 2, 3}, long={5}, caption=caption)
    return wide(table) if rows else ""


def _last(names: Sequence[str]) -> str:
    return names[-1] if names else ""


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[-_FILES_SHOWN:])
    return f"{shown} and {len(names) - _FILES_SHOWN} more" if len(names) > _FILES_SHOWN else shown


def _mixing(report: RunReport) -> str:
    slowest = report.slowest
    points = [point for point in slowest.history.points if point.chunks]
    if len(points) < 2:
        return ""
    chosen = points[:: -(-len(points) // _MIXED_POINTS)]
    dots = [(point.seconds, float(index)) for point in chosen for index in point.chunks[:_MIXED_CHUNKS]]
    num_chunks = slowest.history.about.get("num_chunks")
    most = max([index for _, index in dots] + [num_chunks - 1 if isinstance(num_chunks, int) else 0])
    said = (
        "Each dot is a chunk that a batch was mixed of. Scattered dots are a mixed order; a line is that of the files."
    )
    mixed = slowest.metrics.get("mixed_chunks")
    words = "" if mixed is None else f"<p>The average batch held samples of {mixed:.1f} chunks.</p>"
    chart = dots_chart("Which chunks met", dots, x_text=_time, y_most=float(max(1, most)), said=said)
    return f'{words}<div class="charts">{chart}</div>'


def _sources(report: RunReport) -> str:
    samples, tokens = Counter[str](), Counter[str]()
    for rank in report.ranks:
        samples.update(rank.by_source("source_samples"))
        tokens.update(rank.by_source("source_tokens"))
    epochs = report.slowest.by_source("source_epochs")  # over all ranks
    counts = [("samples", samples), *([("tokens", tokens)] if any(tokens.values()) else [])]
    rows = [
        (
            name,
            *(text for _, found in counts for text in (_count(found[name]), _part(found[name], sum(found.values())))),
            f"{epochs.get(name, 0):.3g}",
        )
        for name in list(samples)[:_ROWS_SHOWN]
    ]
    titles = ("source", *(title for title, _ in counts for title in (title, f"of all {title}")), "epochs of it")
    more = len(samples) - len(rows)
    caption = "How much of each source of the mixture came, over all ranks." + (
        f" {more:,} more are not shown." if more else ""
    )
    return wide(html_table(titles, rows, numbers=range(1, len(titles)), caption=caption)) if rows else ""


def _part(number: float, total: float) -> str:
    return f"{number / total:.2%}" if total else "-"


def _bounds(report: RunReport) -> str:
    rows = "".join(_meters(report.slowest))
    shown = [rank for rank in report.ranks[:NUM_COLOURS] if _known(rank, "process_bytes") > 1]
    chart = ""
    if shown:
        series = [Series(f"rank {rank.rank}", *_values(rank, "process_bytes")) for rank in shown]
        chart = line_chart(
            "Memory of the process", series, x_text=_time, y_text=_bytes, said="All of it, the model's too."
        )
    if _known(report.slowest, "resident_bytes") > 1:
        bound = report.slowest.metrics.get("resident_bytes_bound")
        held = [Series("columns", *_values(report.slowest, "resident_bytes"))]
        said = "The most that were in memory at once until then."
        chart += line_chart("Columns in memory", held, x_text=_time, y_text=_bytes, bound=bound, said=said)
    of = f"<p class='soft'>Of rank {escaped(report.slowest.rank)}.</p>" if rows and len(report.ranks) > 1 else ""
    return f'{of}{rows}<div class="charts">{chart}</div>' if rows or chart else ""


def _meters(rank: RankReport) -> Iterator[str]:
    metrics = rank.metrics
    for name, title, text in (
        ("resident_chunks", "chunks in memory", lambda number: f"{number:,.1f}"),
        ("resident_bytes", "bytes of columns", _bytes),
        ("cache_bytes", "cache on disk", _bytes),
    ):
        value, bound = metrics.get(name), metrics.get(f"{name}_bound")
        if value is not None and bound:
            yield meter(title, value, bound, f"{text(value)} of {text(bound)}")
    hits, misses = metrics.get("cache_hits", 0), metrics.get("cache_misses", 0)
    if hits + misses:
        came = f"{hits:,.0f} of {hits + misses:,.0f} chunks; {_bytes(metrics.get('fetched_bytes', 0))} fetched"
        yield meter("found in the cache", hits, hits + misses, came)


def _left_out(report: RunReport) -> str:
    rows = [(rank.rank, name, why) for rank in report.ranks for name, why in rank.history.left_out.items()]
    total = sum(int(rank.metrics.get("skipped", 0)) for rank in report.ranks)
    if not rows and not total:
        return ""
    shown = rows[:_ROWS_SHOWN]
    more = f" {total - len(shown):,} more are not shown." if total > len(shown) else ""
    caption = f"Left out under max_skipped.{more}"
    return wide(html_table(("rank", "what", "why"), shown, numbers={0}, long={1, 2}, caption=caption))


def _predicted(report: RunReport) -> str:
    actual = report.actual
    rows = [
        (name, f"{said:,.6g}", f"{actual[name]:,.6g}", _off(said, actual[name]))
        for name, said in report.predicted.items()
        if name in actual
    ]
    titles = ("number", "predicted", "actual", "off by")
    return (
        wide(html_table(titles, rows, numbers={1, 2, 3}, caption="What pyloader plan said before, of one rank."))
        if rows
        else ""
    )


def _off(said: float, actual: float | None) -> str:
    return "" if not actual else f"{said / actual - 1:+.1%}"


def _known(rank: RankReport, name: str) -> int:
    return sum(name in point.metrics for point in rank.history.points)


def _values(rank: RankReport, name: str) -> tuple[Sequence[float], Sequence[float]]:
    known = [point for point in rank.history.points if name in point.metrics]
    return [point.seconds for point in known], [point.metrics[name] for point in known]


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")


def _time(seconds: float) -> str:
    if seconds < 1:
        return "0" if seconds <= 0 else f"{1000 * seconds:.3g} ms"
    if seconds < 120:
        return f"{seconds:.3g} s"
    minutes, left = divmod(round(seconds), 60)
    if minutes < 120:
        return f"{minutes} min {left:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes < 48 * 60 else f"{minutes // 1440:,} days"


def _count(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"


def _share(number: float) -> str:
    return f"{number:.0%}"


def _bytes(number: float) -> str:
    return format_bytes(int(number))
