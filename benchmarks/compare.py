"""Side by side: pyloader, the loop one would write with NumPy, and the loaders that people use instead.

    scripts/bench                         everything that is installed: three rounds, each case in a fresh process
    scripts/bench --install               first makes .venv-bench with all contenders in it
    scripts/bench --quick                 tiny data, a moment a case: does everything work?
    scripts/bench --only pyloader --only torch --workload dense
    scripts/bench --write                 put the figures into benchmarks/README.md, benchmarks/results.json and img/

Data are made first, in $PYLOADER_BENCH or benchmarks/data (about 15 GB for everything); each run is noted in runs.jsonl
there.  Ctrl-C ends it, and shows what there is.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from charts import draw
from contenders import CONTENDERS
from making import place
from running import Result, find_cases, make_data, run
from tables import as_tables, with_tables
from tqdm import tqdm
from workloads import WORKLOADS

_PICTURE_SECTION = """## How fast?

<p align="center"><img src="img/benchmarks.svg" width="95%" alt="samples a second of pyloader and other loaders"/></p>

Medians of one run on {cores} cores, {date}; the axis is logarithmic, and a window of 4 mixes 4 chunks in every batch.
[benchmarks/](benchmarks/README.md) has method, memory, mixing and coverage of each, and where we lose;
`scripts/bench --install --write` repeats it on your machine."""

PROJECT = Path(__file__).resolve().parents[1]
BUSY = 0.5  # processes that want to run, on average: from there on others use the machine


def main() -> None:
    """Measure, and show."""
    arguments = _arguments()
    workloads = arguments.workload or list(WORKLOADS)
    only = [word.lower() for word in arguments.only]
    cases, skipped = find_cases(workloads=workloads, only=only, all_cases=arguments.all_cases)
    if arguments.list:
        print("\n".join([*map(str, cases), *(f"skipped: {name}, {reason}" for name, reason in skipped.items())]))
        return
    machine = _machine()
    begun = time.monotonic()
    results = [Result(case=case) for case in cases]
    _make(results, tiny=arguments.quick)
    try:
        for round_index in range(arguments.rounds):  # in turn, so that a machine that slows down slows all of them down
            is_last = round_index == arguments.rounds - 1
            for result in tqdm(results, desc=f"round {round_index + 1}", unit=" cases", disable=None):
                if not result.error:
                    _run(result, tiny=arguments.quick, seconds=arguments.seconds, check=is_last)
    except KeyboardInterrupt:
        print("stopped: these are the figures until then", file=sys.stderr)
        for result in results:
            result.error = result.error or ("" if result.runs else "stopped before it ran")
    machine["minutes"] = (time.monotonic() - begun) / 60
    tables = _caption(machine, arguments) + "\n\n" + as_tables(results, skipped)
    print(tables)
    if arguments.write:
        _write(tables, results, machine, skipped, Path(arguments.output))
    sys.exit(1 if any(result.error for result in results) else 0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workload", action="append", choices=list(WORKLOADS), help="only this one; may be repeated")
    parser.add_argument("--only", action="append", default=[], metavar="WORD", help="only cases with this word")
    parser.add_argument("--all-cases", action="store_true", help="not only each contender's best configuration")
    parser.add_argument("--rounds", type=int, default=3, help="how often each case is run (3); medians are shown")
    parser.add_argument("--seconds", type=float, default=1.0, help="how long each run is measured (1)")
    parser.add_argument("--quick", action="store_true", help="tiny data, one round, 0.1 seconds a case")
    parser.add_argument("--list", action="store_true", help="show the cases, and run none")
    parser.add_argument("--write", action="store_true", help="write README, results.json and the picture")
    parser.add_argument("--output", default=str(PROJECT), metavar="DIR", help="where they are written (this checkout)")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds, arguments.seconds = 1, 0.1
    if arguments.write and importlib.util.find_spec("matplotlib") is None:
        parser.error("--write draws a picture, and needs matplotlib: pip install matplotlib")
    return arguments


def _make(results: list[Result], *, tiny: bool) -> None:
    made = set()
    for result in tqdm(results, desc="data", unit=" cases", disable=None):
        place = (result.case.contender, WORKLOADS[result.case.workload][tiny]["num_samples"])
        if place not in made:
            made.add(place)
            try:
                make_data(result.case, tiny=tiny)
            except RuntimeError as exc:
                result.error = str(exc)


def _run(result: Result, *, tiny: bool, seconds: float, check: bool) -> None:
    try:
        result.runs.append(run(result.case, tiny=tiny, seconds=seconds, check=check))
    except Exception as exc:  # one contender's fault is no reason to lose the figures of all
        result.error = str(exc) or type(exc).__name__
    with open(place() / "runs.jsonl", "a") as journal:  # whatever happens to this process, what was measured is kept
        journal.write(json.dumps(result.as_dict()) + "\n")


def _machine() -> dict[str, Any]:
    packages = sorted({package for contender in CONTENDERS.values() for package in contender.packages} | {"numpy"})
    return {
        "load_before": os.getloadavg()[0],
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": platform.system(),
        "python": platform.python_version(),
        "packages": {package: _version(package) for package in packages},
    }


def _processor() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _caption(machine: dict[str, Any], arguments: argparse.Namespace) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items() if version)
    lines = [
        f"{machine['date']}: {machine['cores']} cores of {machine['processor']}, {machine['memory_gib']} GiB, "
        f"{machine['system']}, Python {machine['python']}, {packages}.",
        f"Medians of {arguments.rounds} rounds, {arguments.seconds} s each; {machine['minutes']:.0f} minutes in all.",
    ]
    if machine["load_before"] > BUSY:
        busy = f"**Other programs used the machine** (load {machine['load_before']:.1f} when it began): "
        lines.append(f"{busy}these figures show that it works, not how fast it is.")
    if arguments.quick:
        lines.append("**Tiny data**: these figures show that it works, not how fast it is.")
    return "\n".join(lines)


def _picture_section(machine: dict[str, Any], tables: str) -> str:
    """What the project's README shows: the picture, and the warnings that the tables have."""
    warnings = "".join(f"\n{line}" for line in tables.splitlines() if line.startswith("**"))
    return _PICTURE_SECTION.format(**machine) + f"{warnings}\n"


def _write(tables: str, results: list[Result], machine: dict[str, Any], skipped: dict[str, str], output: Path) -> None:
    (output / "benchmarks").mkdir(parents=True, exist_ok=True)
    for name, figures_of in (("benchmarks/README.md", tables), ("README.md", _picture_section(machine, tables))):
        (output / name).write_text(with_tables((PROJECT / name).read_text(), figures_of))
    figures = {"machine": machine, "results": [result.as_dict() for result in results], "skipped": skipped}
    (output / "benchmarks" / "results.json").write_text(json.dumps(figures, indent=1) + "\n")
    draw([result for result in results if not result.error], output / "img" / "benchmarks.svg")


if __name__ == "__main__":
    main()
