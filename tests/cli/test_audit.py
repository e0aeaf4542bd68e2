"""`pyloader audit`: the screen says what is proven, what is not, and what to do next."""

from __future__ import annotations

import json

import numpy as np
import pytest
from mixed_sources import write_sources
from ranks import PLENTY, global_batches, rank_loaders, write_counted

from pyloader import DataLoader
from pyloader.audit import ReceiptWriter, audit_epochs
from pyloader.cli.main import main
from pyloader.errors import ReceiptError
from pyloader.files import list_chunks

COUNTS = [30, 0, 17, 1, 44, 23, 8, 60, 5, 1]  # 189 samples: 7 steps of 24, and 21 dropped


@pytest.fixture(autouse=True)
def a_wide_screen(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")


def received(directory, size, num_steps, *, state=None, **options):
    """Let ranks receive so many steps, from a state on, and return the state after them."""
    if not (directory / "chunks").exists():
        write_counted(directory / "chunks", COUNTS)
    options = {"last_batch": "drop", "num_epochs": None, "max_queue_size": PLENTY, **options}
    options |= {"batch_size": 24 // size, "audit_dir": directory / "receipts"}
    loaders = rank_loaders(directory / "chunks", size, **options)
    for loader in loaders if state else []:
        loader.load_state_dict(state)
    global_batches(loaders, num_steps)
    for loader in loaders:
        loader.close()
    return loaders[0].state_dict()


def audit(capsys, directory, *words):
    code = main(["audit", str(directory / "receipts"), str(directory / "chunks"), *words])
    out, err = capsys.readouterr()
    assert not err
    return code, out.splitlines()


def test_complete_epochs_are_proven_in_a_line(capsys, tmp_path):
    received(tmp_path, 2, 21)
    assert audit(capsys, tmp_path) == (
        0,
        [
            "epoch     steps   samples   dropped   repeated   ranks",
            "0 to 2   7 of 7       168        21          0   2       every sample exactly once, but those dropped",
            "3 complete epochs, each sample exactly once (2 receipts).",
            f"next       pyloader locate STATE.json {tmp_path}/chunks --step N",
            "           shows which samples a step had",
        ],
    )
    assert audit(capsys, tmp_path, "-q") == (0, [])


def test_an_epoch_that_is_running_is_well_up_to_a_step(capsys, tmp_path):
    state = received(tmp_path, 4, 11, last_batch="pad")
    received(tmp_path, 4, 3, last_batch="pad")
    received(tmp_path, 2, 7, state=state, last_batch="pad")
    (path,) = tmp_path.glob("receipts/rank-1-of-2*")
    path.write_bytes(path.read_bytes()[:-1])  # it is killed while it writes
    code, lines = audit(capsys, tmp_path)
    assert code == 0
    assert lines[:-2] == [
        "epoch    steps   samples   dropped   repeated   ranks",
        "0       8 of 8       189         0          3   4           every sample exactly once",
        "1       8 of 8       189         0          3   4, then 2   every sample exactly once",
        "2       1 of 8        36                    0   2           incomplete, all is well up to step 0 "
        "(rank 1 of 2 is behind)",
        "3 steps were delivered and taken back, when a run resumed before; they do not count.",
        "2 complete epochs, each sample exactly once; epoch 2 is running (10 receipts).",
    ]


def test_what_is_missing_is_listed(capsys, tmp_path):
    received(tmp_path, 2, 17)
    (path,) = tmp_path.glob("receipts/rank-1-of-2*")
    path.unlink()
    assert audit(capsys, tmp_path) == (
        1,
        [
            "epoch     steps   samples   dropped   repeated   ranks",
            "0 to 1   0 of 7        84        21          0   2       NOT exactly once",
            "2        0 of 7        36        21          0   2       NOT exactly once",
            "epoch 0, steps 0 to 6   rank 1 of 2   no receipt",
            "epoch 1, steps 0 to 6   rank 1 of 2   no receipt",
            "epoch 2, steps 0 to 2   rank 1 of 2   no receipt",
            "3 of 3 epochs are bad (1 receipt).",
            f"next       put the receipts of every rank into {tmp_path}/receipts, then pyloader audit "
            f"{tmp_path}/receipts {tmp_path}/chunks",
        ],
    )


def test_what_differs_is_listed_and_many_findings_are_cut_short(capsys, tmp_path, monkeypatch):
    write = ReceiptWriter.write

    def changed(self, order, epoch, step, digest):
        write(self, order, epoch, step, digest + np.array([step % 2, 0, 0, 0], np.uint64))

    monkeypatch.setattr(ReceiptWriter, "write", changed)
    received(tmp_path, 2, 70)
    code, lines = audit(capsys, tmp_path)
    assert code == 1
    assert lines[:5] == [
        "epoch     steps   samples   dropped   repeated   ranks",
        "0 to 9   7 of 7       174        21          0   2       NOT exactly once",
        "epoch 0, step 1   rank 0 of 2   1 sample more than the 12 planned",
        "epoch 0, step 1   rank 1 of 2   1 sample more than the 12 planned",
        "epoch 0, step 3   rank 0 of 2   1 sample more than the 12 planned",
    ]
    assert lines[22:] == [
        "40 more findings: --json lists them all",
        "10 of 10 epochs are bad (2 receipts).",
        f"next       pyloader verify {tmp_path}/chunks",
        "           and, if that is well, report it: pyloader delivered other samples",
    ]


def test_the_findings_come_as_json(capsys, tmp_path):
    received(tmp_path, 2, 9)
    code, lines = audit(capsys, tmp_path, "--json")
    result = json.loads("\n".join(lines))
    assert (code, result["is_good"], result["findings"], result["damaged"]) == (0, True, [], {})
    assert [(epoch["state"], epoch["delivered"]) for epoch in result["epochs"]] == [("complete", 168), ("running", 48)]
    assert result["order"]["num_streams"] == 2


def test_a_place_without_receipts_is_refused_in_one_line(capsys, tmp_path):
    write_counted(tmp_path / "chunks", COUNTS)
    assert main(["audit", str(tmp_path / "chunks"), str(tmp_path / "chunks")]) == 2
    err = capsys.readouterr().err
    assert err == (
        f"pyloader audit: error: {tmp_path}/chunks: holds no receipts. "
        "Have them written: DataLoader(..., audit_dir='receipts')\n"
    )


def test_a_mixture_is_typed_source_by_source_and_told_so(capsys, tmp_path):
    places = write_sources(tmp_path, {"web": (40, 9), "a=b": (10, 5)})
    options = {"weights": {"web": 3, "a=b": 1}, "on_exhausted": "repeat", "num_steps": 10, "num_workers": 0}
    with DataLoader(data_dir=places, batch_size=8, audit_dir=tmp_path / "receipts", **options) as loader:
        list(loader)
    receipts, words = str(tmp_path / "receipts"), [f"{name}={place}" for name, place in places.items()]
    assert main(["audit", receipts, *words]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == [
        "source   epoch     samples   dropped   repeated   ranks",
        "a=b      0 to 1   10 of 10                    0   1       every sample exactly once",
        "web      0        40 of 40                    0   1       every sample exactly once",
        "web      1        20 of 40                    0   1       incomplete, all is well up to step 9",
    ]
    assert lines[4] == (
        "3 complete epochs of the sources, each sample exactly once; 1 epoch incomplete, each sample at most once "
        "(1 receipt)."
    )
    for typed, says in (
        (words[:1], "the source 'a=b' was not typed"),
        ([*words, words[0]], "the source 'web' was typed twice"),
        ([str(places["web"])], "names no source of this mixture"),
    ):
        assert main(["audit", receipts, *typed]) == 2
        complained = capsys.readouterr().err
        assert says in complained and "a=b=DIR web=DIR" in complained.replace("'", "")
    assert main(["audit", receipts, f"web={places['web']}", f"a=b={places['web']}"]) == 2
    assert "holds other chunks of 'a=b' than those that the receipts are of" in capsys.readouterr().err
    with pytest.raises(ReceiptError, match=r"receipts of a mixture of 'a=b', 'web'. Name the chunks of each"):
        audit_epochs(receipts, list_chunks(places["web"]))
    received(tmp_path / "one", 1, 2)
    assert main(["audit", str(tmp_path / "one" / "receipts"), "x", "y"]) == 2
    assert "holds receipts of one source: name its chunks alone" in capsys.readouterr().err
