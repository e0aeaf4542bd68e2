"""The figures as one picture: a panel of bars for each workload."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from running import Result
from tables import best_of_each

__all__ = ["draw"]

_OURS, _BARE, _OTHERS, _INK = "#2563eb", "#64748b", "#cbd5e1", "#334155"


def draw(results: Sequence[Result], path: Path) -> None:
    """Draw the rates of each workload's contenders, as SVG; limits, our other forms and plain strings are left out.

    The axis is logarithmic: the slowest and the fastest are a factor of hundreds apart.
    """
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "pyloader"  # the same figures, the same file
    matplotlib.rcParams["svg.fonttype"] = "none"  # text stays text
    from matplotlib import pyplot

    shown = [result for result in results if result.case.contender != "limits" and not _is_aside(result)]
    workloads = list(dict.fromkeys(result.case.workload for result in shown))
    panels = [best_of_each(result for result in shown if result.case.workload == name)[::-1] for name in workloads]
    heights = [max(map(len, panels[start : start + 2])) for start in range(0, len(panels), 2)]
    figure, axes = pyplot.subplots(
        len(heights),
        min(2, len(panels)),
        figsize=(13, 0.9 * len(heights) + 0.27 * sum(heights)),
        squeeze=False,
        layout="constrained",
        gridspec_kw={"height_ratios": heights},
    )
    for axis in axes.flat[len(panels) :]:
        axis.remove()
    for axis, name, panel in zip(axes.flat, workloads, panels, strict=False):
        rates = [result.rate for result in panel]
        axis.barh([_label(result) for result in panel], rates, color=[_color(result) for result in panel], height=0.72)
        for place, rate in enumerate(rates):
            axis.text(rate * 1.08, place, f"{float(f'{rate:.2g}'):,.0f}", va="center", fontsize=8, color=_INK)
        axis.set_xscale("log")
        axis.set_xlim(min(rates) / 3, max(rates) * 4)
        axis.set_title(f"{name}, samples/s", loc="left", fontsize=10, color=_INK, fontweight="bold")
        axis.tick_params(axis="y", length=0, labelsize=8, labelcolor=_INK)
        axis.tick_params(axis="x", which="both", length=0, labelsize=7, labelcolor="#94a3b8")
        axis.grid(axis="x", which="major", color="#e2e8f0", linewidth=0.6)
        axis.set_axisbelow(True)
        axis.spines[:].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def _is_aside(result: Result) -> bool:
    return bool({"form", "strings"} & result.case.options.keys())


def _label(result: Result) -> str:
    name, configuration = result.case.group
    return f"{name}, {configuration}" if configuration else name


def _color(result: Result) -> str:
    return {"pyloader_chunks": _OURS, "bare_loop": _BARE}.get(result.case.contender, _OTHERS)
