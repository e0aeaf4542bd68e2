"""Runs of a loader that meet a fault drawn from a seed; run as a script, so many of them.

    python tests/support/random_faults.py --runs 1000 --seed 0

Whatever happens, a run ends within `--seconds`, 10 unless the machine is busy; nothing is left behind, the loop has
received the batches of an undisturbed run up to some step, and a fresh loader that is given the state goes on with the
next.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import faulthandler
import gc
import json
import os
import random
import select
import signal
import statistics
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from numbered import NumberedReader, ids_of, write_chunks  # noqa: E402
from ranks import write_counted  # noqa: E402

from pyloader import DataCollator, DataLoader, Dataset, NumpyDataCollator  # noqa: E402
from pyloader.errors import WorkerDiedError  # noqa: E402
from pyloader.testing.open_resources import belongings, children, left_since  # noqa: E402


class Disturbed(Exception):
    """An error of the user's."""


class Strike:
    """Strikes at the `at`-th call, counted in each process: raises, or kills."""

    def __init__(self, at: int, how: str) -> None:
        self.left, self.how = at, how

    def __call__(self) -> None:
        self.left -= 1
        if self.left == 0 and self.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.left == 0:
            raise Disturbed


class Reader(NumberedReader):
    strike = staticmethod(lambda: None)

    def read_file(self, path: str) -> Any:
        self.strike()
        return super().read_file(path)


class Encoder(Dataset):
    strike = staticmethod(lambda: None)

    def batch_encode(self, columns: Any) -> Any:
        self.strike()
        return columns


class Collator(DataCollator):
    strike = staticmethod(lambda: None)

    def collate_batch(self, columns: Any) -> Any:
        self.strike()
        return NumpyDataCollator().collate_batch(columns)


class Case:
    """What was drawn: the chunks, the options, and what goes wrong."""

    def __init__(self, seed: int, directory: Path) -> None:
        chance = self.chance = random.Random(seed)
        self.directory = directory
        counts = [chance.choice([0, 1, chance.randrange(40)]) for _ in range(chance.randint(2, 12))]
        way = chance.choice(["plain", "plain", "counted", "mixture", "buckets"])
        write = write_chunks if way == "plain" else write_counted
        write(directory / "chunks", [*counts, chance.randint(1, 40)])
        self.data_dir: Any = directory / "chunks"
        self.text = chance.random() < 0.5
        self.fault = chance.choice(FAULTS)
        kind = "process" if self.fault == kill_a_worker or chance.random() < 0.06 else "thread"
        workers = chance.randint(1, 2) if kind == "process" else chance.randint(0, 3)
        window = chance.randint(1, 4)
        self.options = {
            "batch_size": chance.randint(1, 16),
            "shuffle": True,
            "shuffle_window": window,
            "max_queue_size": window + 1 + chance.randrange(4),
            "last_batch": chance.choice(["keep", "pad", "wrap"]),
            "num_epochs": chance.choice([1, 2, 3, None]),
            "num_readers": 1 if kind == "process" else chance.randint(1, 3),
            "num_workers": workers,
            "worker_kind": kind,
            "seed": chance.randrange(100),
        }
        if way == "mixture":
            write(directory / "others", [chance.randint(1, 40) for _ in range(chance.randint(1, 4))])
            self.data_dir = {"chunks": directory / "chunks", "others": directory / "others"}
            self.options |= {"on_exhausted": "repeat", "max_queue_size": 2 * window + 1 + chance.randrange(4)}
            del self.options["num_epochs"]  # without an end
        elif way == "buckets":
            self.options |= {"bucket_by": "id", "max_queue_size": 2000}
        self.parts: tuple[Any, Any, Any] = (
            Reader(text=self.text),
            Encoder() if chance.random() < 0.5 else None,
            Collator() if chance.random() < 0.5 else None,
        )

    def loader(self, **options: Any) -> DataLoader:
        return DataLoader(*self.parts, self.data_dir, **{**self.options, **options})

    def calm_loader(self) -> DataLoader:
        """Return an endless loader of the same batches, in this thread."""
        endless = {"num_epochs": None} if "num_epochs" in self.options else {}
        options = {**self.options, "num_workers": 0, "num_readers": 0, "worker_kind": "thread", **endless}
        return DataLoader(Reader(text=self.text), None, None, self.data_dir, **options)

    def __str__(self) -> str:
        return f"{self.fault.__name__} with {self.options}, {[type(part).__name__ for part in self.parts]}"


def user_code_raises(case: Case, received: list[Any]) -> dict[str, Any]:
    part = case.chance.choice([part for part in case.parts if part is not None])
    part.strike = Strike(case.chance.randint(1, 12), "raise")
    with case.loader() as loader:
        with contextlib.suppress(Disturbed):
            received += islice(loader, 40)
        with contextlib.suppress(Disturbed):
            next(loader, None) if len(received) < 40 else None
        return loader.state_dict()


def the_loop_raises(case: Case, received: list[Any]) -> dict[str, Any]:
    with contextlib.suppress(Disturbed), case.loader() as loader:
        for batch in islice(loader, case.chance.randrange(20)):
            received.append(batch)
        raise Disturbed
    return loader.state_dict()


def the_loop_breaks_and_goes_on(case: Case, received: list[Any]) -> dict[str, Any]:
    loader = case.loader()
    for _ in range(case.chance.randint(1, 4)):
        for batch in islice(loader, case.chance.randrange(8)):
            received.append(batch)
    state = loader.state_dict()
    if case.chance.random() < 0.5:
        loader.close()
    return state


def it_is_closed(case: Case, received: list[Any]) -> dict[str, Any]:
    loader = case.loader()
    received += islice(loader, case.chance.randrange(20))
    loader.close()
    return loader.state_dict()


def it_is_collected(case: Case, received: list[Any]) -> dict[str, Any]:
    loader = case.loader()
    received += islice(loader, case.chance.randrange(20))
    state = loader.state_dict()
    if case.chance.random() < 0.5:
        loader.itself = loader  # type: ignore[attr-defined]  # a cycle, which only the collector finds
        del loader
        gc.collect()
    return state


def ctrl_c(case: Case, received: list[Any]) -> dict[str, Any]:
    loader = case.loader()
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, case.chance.random() ** 3 * 0.03 + 1e-6)
        for batch in islice(loader, 200):
            received.append(batch)
        if signal.setitimer(signal.ITIMER_REAL, 0)[0] > 0:  # the batches were over before it came
            signal.raise_signal(signal.SIGALRM)
        raise AssertionError("Ctrl-C was swallowed")
    except KeyboardInterrupt:
        pass
    state = loader.state_dict()
    # It may have come between the loader's answer and the loop's taking it.
    if loader.steps_done == len(received) + 1:
        received.append(None)
    if case.chance.random() < 0.5:
        loader.close()
    return state


def kill_a_worker(case: Case, received: list[Any]) -> dict[str, Any]:
    with case.loader() as loader:
        received += islice(loader, case.chance.randrange(10))
        mine = sorted(children())
        if mine:
            os.kill(case.chance.choice(mine), signal.SIGKILL)
        with contextlib.suppress(WorkerDiedError):
            received += islice(loader, 40)
        return loader.state_dict()


def kill_from_inside(case: Case, received: list[Any]) -> dict[str, Any]:
    """A worker dies in the middle of user code; with threads, the reader raises instead."""
    how = "kill" if case.options["worker_kind"] == "process" else "raise"
    case.parts[0].strike = Strike(case.chance.randint(1, 6), how)
    with case.loader() as loader:
        with contextlib.suppress(Disturbed, WorkerDiedError):
            received += islice(loader, 40)
        return loader.state_dict()


def kill_the_process(case: Case, received: list[Any]) -> dict[str, Any]:
    """Kill a script at a random moment; what it received is in a file, each batch with the state after it."""
    log = case.directory / "log"
    child = os.fork()  # nothing has been started in this process, and the child makes all it needs
    if child == 0:
        try:
            os.setpgid(0, 0)
            with open(log, "w", buffering=1) as file, case.loader() as loader:
                for batch in islice(loader, 200):
                    file.write(json.dumps([ids_of([batch])[0], loader.state_dict()]) + "\n")
        finally:
            os._exit(0)
    # Nothing to wait for: any moment will do, from before its first batch to after its last.
    time.sleep(case.chance.random() ** 2 * (0.6 if case.options["worker_kind"] == "process" else 0.1))
    orphans = []
    for pid in children(child):
        with contextlib.suppress(ProcessLookupError):  # it has ended by itself
            orphans.append(os.pidfd_open(pid))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    for orphan in orphans:  # readable once the process has ended
        assert select.select([orphan], [], [], 5)[0], "worker processes outlived their killed parent"
        os.close(orphan)
    state = case.calm_loader().state_dict()
    for line in log.read_text().splitlines(keepends=True) if log.exists() else []:
        if line.endswith("\n"):
            ids, state = json.loads(line)
            received.append(ids)
    return state


FAULTS = [
    user_code_raises,
    user_code_raises,
    the_loop_raises,
    the_loop_breaks_and_goes_on,
    it_is_closed,
    it_is_collected,
    ctrl_c,
    ctrl_c,
    kill_a_worker,
    kill_from_inside,
    kill_the_process,
]


def run_case(seed: int, directory: Path) -> tuple[Case, float]:
    """Run one, check what came of it, and return it with how long it took, in seconds."""
    before, begun = belongings(), time.monotonic()
    case = Case(seed, directory)
    received: list[Any] = []
    state = json.loads(json.dumps(case.fault(case, received)))
    gc.collect()
    left = left_since(before, seconds=2)
    assert not left, f"left behind: {sorted(left)}"
    seconds = time.monotonic() - begun

    found = [batch if batch is None or isinstance(batch, list) else ids_of([batch])[0] for batch in received]
    with case.calm_loader() as undisturbed:
        wanted = ids_of(islice(undisturbed, len(found) + 5))
    differing = [step for step, ids in enumerate(found) if ids is not None and ids != wanted[step]]
    assert not differing, f"received other batches at {differing}"
    with case.calm_loader() as fresh:
        fresh.load_state_dict(state)
        assert fresh.steps_done == len(found), f"the state says {fresh.steps_done} steps, {len(found)} were received"
        assert ids_of(islice(fresh, 5)) == wanted[len(found) :], "a fresh loader goes on with other batches"
    return case, seconds


def run_many(runs: int, seed: int, most_seconds: float) -> dict[str, list[float]]:
    """Run so many cases, and return how long those of each fault took, in seconds."""
    faulthandler.enable()
    took = collections.defaultdict(list)
    for number in range(seed, seed + runs):
        faulthandler.dump_traceback_later(2 * most_seconds, exit=True)
        if number % 100 == 0:
            print(f"at seed {number}", flush=True)
        with tempfile.TemporaryDirectory() as directory:
            try:
                case, seconds = run_case(number, Path(directory))
                assert seconds < most_seconds, f"it took {seconds:.1f} s"
            except BaseException:
                print(f"the case of seed {number}: {Case(number, Path(directory) / 'again')}", flush=True)
                raise
        took[case.fault.__name__].append(seconds)
    faulthandler.cancel_dump_traceback_later()
    return took


def main() -> None:
    """Run as many as the command line says, and print what was met."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--seconds", type=float, default=10.0, help="the most that a run may take")
    parser.add_argument("--fault", help="only this one")
    arguments = parser.parse_args()
    print(f"{arguments.runs} runs from seed {arguments.seed}", flush=True)
    FAULTS[:] = [fault for fault in FAULTS if arguments.fault in (None, fault.__name__)]
    begun = time.monotonic()
    took = run_many(arguments.runs, arguments.seed, arguments.seconds)
    print(f"all well in {time.monotonic() - begun:.0f} s")
    for fault, seconds in sorted(took.items()):
        print(f"{len(seconds):5}  {fault}: median {statistics.median(seconds):.2f} s, longest {max(seconds):.2f} s")


if __name__ == "__main__":
    main()
