"""Audit, over processes of their own: four ranks are killed, two go on, and the receipts prove exactly once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest
from mixed_sources import write_sources
from ranks import write_counted

from pyloader.cli.main import main

COUNTS = [30, 0, 17, 1, 44, 23, 8, 60, 5, 1]  # 189 samples: 7 steps of 24, and 21 dropped

# A process is told the chunks, where to save the state, whether to go on from it, the receipts, and the steps until it
# kills itself, one more if its rank is odd.
SCRIPT = """
import json, os, signal, sys
from pathlib import Path
from numbered import NumberedReader
from pyloader import DataLoader

chunks, saved, resumes, receipts, last = sys.argv[1], Path(sys.argv[2]), sys.argv[3], sys.argv[4], int(sys.argv[5])
rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
options = {"batch_size": 24 // size, "shuffle": True, "last_batch": "drop", "num_epochs": 3, "audit_dir": receipts}
with DataLoader(NumberedReader(), data_dir=chunks, **options) as loader:
    if resumes == "yes":
        loader.load_state_dict(json.loads(saved.read_text()))
    for batch in loader:
        if rank == 0 and loader.steps_done == 6:
            saved.write_text(json.dumps(loader.state_dict()))
        if loader.steps_done == last + rank % 2:
            os.kill(os.getpid(), signal.SIGKILL)
"""


def run_ranks(directory, size, *, resumes="no", last=10_000, code=0):
    """Run the script as so many processes, and wait until all have ended as they must."""
    run_script(
        SCRIPT, [directory / "chunks", directory / "state.json", resumes, directory / "receipts", last], size, code
    )


def run_script(script, words, size, code):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "WORLD_SIZE": str(size)}
    ranks = [{"RANK": str(rank)} for rank in range(size)]
    command = [sys.executable, "-W", "error", "-c", script, *map(str, words)]
    processes = [subprocess.Popen(command, env={**environment, **rank}, stderr=subprocess.PIPE) for rank in ranks]
    try:
        errors = [process.communicate(timeout=60)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert [process.returncode for process in processes] == [code] * size, errors


def audit(capsys, directory):
    code = main(["audit", str(directory / "receipts"), str(directory / "chunks"), "--json"])
    return code, json.loads(capsys.readouterr().out)


def states(result):
    return [(epoch["state"], epoch["steps_done"], epoch["ranks"]) for epoch in result["epochs"]]


@pytest.mark.slow
def test_ranks_that_are_killed_and_resumed_as_fewer_deliver_every_sample_once(capsys, tmp_path):
    write_counted(tmp_path / "chunks", COUNTS)
    run_ranks(tmp_path, 4, last=10, code=-signal.SIGKILL)
    code, result = audit(capsys, tmp_path)
    assert (code, states(result)) == (0, [("complete", 7, [4]), ("running", 3, [4])])
    assert result["epochs"][1]["behind"] == "ranks 0, 2 of 4"

    run_ranks(tmp_path, 2, resumes="yes")
    code, result = audit(capsys, tmp_path)
    assert (code, result["findings"], result["num_receipts"]) == (0, [], 6)
    assert states(result) == [("complete", 7, [4, 2]), ("complete", 7, [2]), ("complete", 7, [2])]
    assert [epoch["delivered"] for epoch in result["epochs"]] == [168] * 3
    assert result["num_replaced"] == 11 - 6


@pytest.mark.slow
def test_a_killed_rank_whose_part_was_not_delivered_again_is_missing(capsys, tmp_path):
    write_counted(tmp_path / "chunks", COUNTS)
    run_ranks(tmp_path, 4, last=10, code=-signal.SIGKILL)
    run_ranks(tmp_path, 2, resumes="yes")
    for path in (tmp_path / "receipts").glob("rank-1-of-2*"):
        path.unlink()
    code, result = audit(capsys, tmp_path)
    assert code == 1
    assert [(f["kind"], f["epoch"], f["first_step"], f["last_step"], f["who"]) for f in result["findings"]] == [
        ("missing", 1, 3, 6, "rank 1 of 2"),
    ]


# The same of a mixture: the sources' place, where to save the state, whether to go on from it, the receipts, the weight
# of one source, and the steps until it kills itself.
MIXTURE = """
import json, os, signal, sys
from pathlib import Path
from pyloader import DataLoader

root, saved, resumes, receipts, weight, last = Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:]
rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
options = {"batch_size": 12 // size, "shuffle": True, "on_exhausted": "repeat", "num_steps": 30, "audit_dir": receipts}
options["data_dir"] = {name: root / name for name in ("web", "code")}
with DataLoader(weights={"web": 2, "code": int(weight)}, **options) as loader:
    if resumes == "yes":
        loader.load_state_dict(json.loads(saved.read_text()))
    for batch in loader:
        if rank == 0 and loader.steps_done == 6:
            saved.write_text(json.dumps(loader.state_dict()))
        if loader.steps_done == int(last) + rank % 2:
            os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_ranks_of_a_mixture_that_are_killed_and_go_on_as_fewer_with_other_weights_are_proven_by_source(
    capsys, tmp_path
):
    places = write_sources(tmp_path, {"web": (90, 20), "code": (35, 10)})

    def run(size, *, resumes, weight, last, code):
        words = [tmp_path, tmp_path / "state.json", resumes, tmp_path / "receipts", weight, last]
        run_script(MIXTURE, words, size, code)
        words = [f"{name}={place}" for name, place in places.items()]
        code = main(["audit", str(tmp_path / "receipts"), *words, "--json"])
        return code, json.loads(capsys.readouterr().out)

    code, result = run(2, resumes="no", weight=1, last=10, code=-signal.SIGKILL)
    assert (code, result["findings"]) == (0, [])
    assert {each["behind"] for each in result["sources"] if each["state"] == "running"} == {"rank 0 of 2"}
    code, result = run(1, resumes="yes", weight=4, last=10_000, code=0)
    assert (code, result["findings"], result["num_receipts"], result["num_replaced"]) == (0, [], 3, 11 - 6)
    assert [(each["source"], each["first_epoch"], each["last_epoch"], each["state"]) for each in result["sources"]] == [
        ("code", 0, 0, "complete"),  # of 2 ranks, then of 1
        ("code", 1, 5, "complete"),
        ("code", 6, 6, "running"),
        ("web", 0, 0, "complete"),
        ("web", 1, 1, "running"),
    ]
    assert sum(each["delivered"] * (each["last_epoch"] - each["first_epoch"] + 1) for each in result["sources"]) == 360
