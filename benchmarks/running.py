"""Running cases, each in a fresh process, and watching the memory of all its processes."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contenders import CONTENDERS, Contender
from measuring import private_bytes
from workloads import make

__all__ = ["Case", "Result", "find_cases", "make_data", "module_path", "run"]

HERE = Path(__file__).parent
WATCH_SECONDS = 0.25
PATIENCE_SECONDS = 120.0
MAKING_SECONDS = 3600.0


@dataclass(frozen=True, kw_only=True)
class Case:
    """One contender on one workload, in one configuration.

    Attributes:
      workload: Which.
      contender: The name of its module.
      name: What the tables call it.
      options: Its configuration.
    """

    workload: str
    contender: str
    name: str
    options: dict[str, Any]

    @property
    def configuration(self) -> str:
        """The options in words."""
        return _in_words(self.options)

    @property
    def group(self) -> tuple[str, str]:
        """Cases of one group differ in how many threads they have, and how much they buffer; the best one counts."""
        tuned = {"num_workers", "num_readers", "num_threads", "buffer_chunks"}
        return self.name, _in_words({option: value for option, value in self.options.items() if option not in tuned})

    def __str__(self) -> str:
        return f"{self.workload}: {self.name}{f', {self.configuration}' if self.configuration else ''}"


@dataclass(kw_only=True)
class Result:
    """What several runs of a case gave.

    Attributes:
      case: Which.
      runs: Of each run, what was measured.
      error: Why there is none.
    """

    case: Case
    runs: list[dict[str, Any]] = field(default_factory=list)
    error: str = ""

    def median(self, key: str) -> float:
        """Return the median over the runs."""
        return statistics.median(run[key] for run in self.runs)

    @property
    def rate(self) -> float:
        """Samples a second."""
        return self.median("rate")

    @property
    def coverage(self) -> str:
        """What an epoch delivered, as the last run found it."""
        return next((run["coverage"] for run in reversed(self.runs) if "coverage" in run), "")

    def as_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        case = self.case
        return {
            "workload": case.workload,
            "name": case.name,
            "configuration": case.configuration,
            "options": case.options,
            "runs": self.runs,
            **({"error": self.error} if self.error else {}),
        }


def find_cases(*, workloads: list[str], only: list[str], all_cases: bool) -> tuple[list[Case], dict[str, str]]:
    """Return the cases, workload by workload, and why contenders are skipped, by their names.

    Args:
      workloads: Which, in the order in which they are run.
      only: Words, in small letters; of each case's own words, one of these must be a part.  All cases when empty.
      all_cases: Whether to run the configurations too that are not a contender's best.
    """
    cases: list[Case] = []
    skipped: dict[str, str] = {}
    for workload in workloads:
        for module, contender in CONTENDERS.items():
            if workload not in contender.cases:
                continue
            found = [
                Case(workload=workload, contender=module, name=contender.name, options=options)
                for options in contender.measured(workload, all_cases=all_cases)
            ]
            found = [case for case in found if not only or any(word in str(case).lower() for word in only)]
            if found and (missing := _missing(contender)):
                skipped[contender.name] = f"{' and '.join(missing)} not installed"
            else:
                cases += found
    return cases, skipped


def run(case: Case, *, tiny: bool, seconds: float, check: bool) -> dict[str, Any]:
    """Run a case in a fresh process, and return what it measured.

    Raises:
      RuntimeError: it failed; the message is the last line it had to say.
    """
    found = _in_a_process({**_asked(case, tiny=tiny), "seconds": seconds, "check": check}, PATIENCE_SECONDS)
    found["memory_bytes"] = max(0, found.pop("peak_bytes") - found.pop("before_bytes"))
    return found


def make_data(case: Case, *, tiny: bool) -> None:
    """Put the data into the contender's own form: those of the size asked for, and the tiny ones for coverage."""
    for size in {tiny, True}:
        made = make(case.workload, tiny=size).root / f"made-for-{case.contender}"
        if not made.exists():
            _in_a_process({**_asked(case, tiny=size), "only_make": True}, MAKING_SECONDS)
            made.touch()


def module_path(contender: Contender) -> str:
    """Return the PYTHONPATH of its processes: a version apart comes before all others."""
    paths = [*([str(contender.folder)] if contender.folder else []), os.environ.get("PYTHONPATH", "")]
    return os.pathsep.join(path for path in paths if path)  # an empty one would be the working directory


def _asked(case: Case, *, tiny: bool) -> dict[str, Any]:
    return {"contender": case.contender, "workload": case.workload, "options": case.options, "tiny": tiny}


def _in_a_process(asked: dict[str, Any], patience: float) -> dict[str, Any]:
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(
            [sys.executable, str(HERE / "measuring.py"), json.dumps(asked)],
            bufsize=0,
            stdout=subprocess.PIPE,
            stderr=complaints,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # so that the workers it leaves behind can be ended with it
            env={
                **os.environ,
                "PYTHONPATH": module_path(CONTENDERS[asked["contender"]]),
                "TF_CPP_MIN_LOG_LEVEL": "3",
                "PYTHONWARNINGS": "ignore",
            },
        )
        with process:
            try:
                found = _watch(process, time.monotonic() + patience)
                process.wait(patience)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        if process.returncode:
            complaints.seek(0)
            said = complaints.read().decode(errors="replace").strip().splitlines()
            raise RuntimeError(said[-1] if said else f"it ended with {process.returncode}, and said nothing")
    return found


def _watch(process: subprocess.Popen[bytes], deadline: float) -> dict[str, Any]:
    """Return what a process says that it measured, with its memory when it was ready, and at most until it was done.

    Raises:
      RuntimeError: the deadline has passed.
    """
    assert process.stdout is not None
    found: dict[str, Any] = {"before_bytes": 0, "peak_bytes": 0}
    is_measuring = False
    while time.monotonic() < deadline:
        has_something = select.select([process.stdout], [], [], WATCH_SECONDS)[0]
        if is_measuring:
            found["peak_bytes"] = max(found["peak_bytes"], _tree_bytes(process.pid))
        if not has_something:
            continue
        line = process.stdout.readline()
        if not line:
            return found
        if line.startswith(b"{"):  # some contenders talk
            said = json.loads(line)
            if "ready" in said:
                found["before_bytes"] = said["ready"]
            is_measuring = "ready" in said
            found |= {name: value for name, value in said.items() if name not in ("ready", "measured")}
    raise RuntimeError("it gave no figures in time")


def _tree_bytes(pid: int) -> int:
    """The private memory of a process and of all that descend from it."""
    total = private_bytes(pid)
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            total += sum(_tree_bytes(int(child)) for child in children.read_text().split())
    return total


def _missing(contender: Contender) -> list[str]:
    """What a contender needs, and is not installed."""
    missing = [package for package in contender.packages if not _is_installed(package)]
    return missing if contender.folder is None or contender.folder.is_dir() else [*missing, contender.folder.name]


def _is_installed(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _in_words(options: Mapping[str, Any]) -> str:
    words = []
    for option, value in options.items():
        if option in ("num_workers", "num_readers", "num_threads"):
            words.append(f"{value} {option[4:] if value != 1 else option[4:-1]}")
        elif isinstance(value, bool):
            words += [option.removeprefix("as_")] if value else []
        elif isinstance(value, str):
            words.append(value)
        else:
            words.append(f"{option.replace('_', ' ')} {value}")
    return ", ".join(words)
