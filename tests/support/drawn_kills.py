"""Splits that are killed, by the draw: who, where, on which engine, of which format; the same bytes in the end."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from killing import CHANGES
from products import ALL, seeds

from pyloader.deliver.engines import Engine
from pyloader.write import split, units

__all__ = ["KILLS", "Case", "KillsAWorker", "drawn_cases", "killing_driver", "make_dump", "moments", "outcome"]

KILLS = int(os.environ.get("PYLOADER_KILLS", "12" if ALL else "3"))  # 200 take a quarter of an hour
SEED = int(os.environ.get("PYLOADER_KILLS_SEED") or seeds(1)[0])
FORMATS = ("jsonl", "parquet", "csv", "npy")
# Who is killed, on which engine; a fifth of all are nodes.
ROUND = (
    ("driver", "inline"),
    ("worker", "process"),
    ("node", "ray"),
    ("driver", "thread"),
    ("worker", "ray"),
    ("driver", "process"),
    ("worker", "process"),
    ("node", "ray"),
    ("worker", "ray"),
    ("driver", "ray"),
)


@dataclass(frozen=True)
class Case:
    """One kill.

    Attributes:
      number: Of the case; all else follows from it and from `seed`.
      seed: Of the draw.
      target: "driver", "worker" or "node".
      engine: Where the tasks run.
      format: Of the dump.
    """

    number: int
    seed: int
    target: str
    engine: str
    format: str

    @property
    def chance(self) -> random.Random:
        """Return what draws the moment of the kill."""
        return random.Random(f"{self.seed} {self.number}")

    @property
    def options(self) -> dict[str, Any]:
        """Return the options of the split."""
        return [{"shuffle": True}, {}, {"num_chunks": 7}][(self.number // 4) % 3] | {"seed": self.number}

    def __str__(self) -> str:
        return f"{self.seed}-{self.number}-{self.target}-{self.engine}-{self.format}"


def drawn_cases(*, on_ray: bool) -> list[Case]:
    """Return the cases on Ray, or all others, of KILLS in all."""
    cases = [
        Case(number, SEED, *ROUND[number % len(ROUND)], FORMATS[(number + number // len(ROUND)) % len(FORMATS)])
        for number in range(KILLS)
    ]
    return [case for case in cases if (case.engine == "ray") == on_ray]


def small_units() -> None:
    """Have a few kilobytes split in many units, in this process."""
    units.MIN_UNIT_BYTES = 1


def make_dump(form: str, place: Path) -> str:
    """Write a dump of 600 rows, and return what names it to `split`."""
    uneven = random.Random(1)
    rows = [{"id": number, "text": "é" * uneven.randrange(90), "half": number / 2} for number in range(600)]
    if form == "jsonl":
        (place / "dump.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    elif form == "csv":
        for part in range(6):  # each is a unit of its own
            with open(place / f"dump-{part}.csv", "w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows[100 * part : 100 * part + 100])
        return str(place / "dump-*.csv")
    elif form == "parquet":
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(rows), place / "dump.parquet", row_group_size=50)
    else:
        np.save(place / "dump.npy", np.random.default_rng(0).normal(size=(600, 5)))
    return str(place / f"dump.{form}")


def outcome(directory: Path) -> dict[str, Any]:
    """Return the bytes of all files, and the manifest but for what names the directory."""
    files = [path for path in directory.rglob("*") if path.is_file()]
    found: dict[str, Any] = {str(path.relative_to(directory)): path.read_bytes() for path in files}
    manifest = json.loads(found["manifest.json"])
    manifest["made_by"] |= {"command": "", "fingerprint": ""}
    return {**found, "manifest.json": manifest}


class KillsAWorker:
    """An engine that kills the worker of one of its tasks, before one of the task's changes to the file system.

    Args:
      engine: Runs the tasks.
      task: The number of the task, from 0.
      change: The number of the change; a task that makes fewer is killed at its end.
      once: A file that is made by the kill.
    """

    def __init__(self, engine: Engine, *, task: int, change: int, once: Path) -> None:
        self._engine, self._task, self._change, self._once = engine, task, change, once
        self.num_begun = 0

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Any:
        """Begin a call."""
        change = self._change if self.num_begun == self._task else -1
        self.num_begun += 1
        return self._engine.submit(_killed_once, function, change, str(self._once), *args)


_left: list[int] = []  # changes of this process until its kill


def _killed_once(function: Callable[..., Any], change: int, once: str, *args: Any) -> Any:
    if change < 0 or os.path.exists(once):
        return function(*args)  # as it is, or once more

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        if event in CHANGES and _left:
            _left[0] -= 1
            if _left[0] < 0:
                _die(once)

    _left[:] = [change]
    sys.addaudithook(count)
    function(*args)
    return _die(once)


def _die(once: str) -> None:
    _left.clear()
    os.close(os.open(once, os.O_CREAT | os.O_WRONLY))
    os.kill(os.getpid(), signal.SIGKILL)


def killing_driver(case: Case, dump: str, output: str, **more: Any) -> None:
    """Run a split in this process, which is killed before one of its changes to the file system, or at the end."""
    small_units()
    _left[:] = [case.chance.randrange(400)]

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        if event in CHANGES and _left:
            _left[0] -= 1
            if _left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    split(dump, output, workers=2, **case.options, **more)
    os.kill(os.getpid(), signal.SIGKILL)


def moments(case: Case) -> Iterator[int]:
    """Yield the drawn numbers of a task and of a change in it."""
    chance = case.chance
    yield chance.randrange(6)
    yield chance.randrange(12)
