"""`pyloader plan`: what a run will take, before it starts."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from parsed_page import ParsedPage

from pyloader import ChunkWriter, DataLoader, Packing
from pyloader.cli.main import main

FAST = ["--seconds", "0.1"]


@pytest.fixture(scope="module")
def sorted_chunks(tmp_path_factory):
    """40 chunks of 50 rows: sorted by label, two chunks a label, and not by source."""
    place = tmp_path_factory.mktemp("sorted") / "chunks"
    with ChunkWriter(place, chunk_samples=50) as writer:
        for number in range(2000):
            writer.write({"x": np.full(4, number, np.float32), "label": number // 100, "source": number % 3})
    return place


@pytest.fixture
def chunks(sorted_chunks, tmp_path, monkeypatch):
    """The same, in the working directory."""
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(sorted_chunks, tmp_path / "chunks")


def screen(capsys, *words) -> str:
    assert main(["plan", *words]) == 0
    out, err = capsys.readouterr()
    assert not err
    return out


def told(capsys, *words) -> list[dict]:
    return json.loads(screen(capsys, *words, "--json"))["predictions"]


@pytest.mark.slow
@pytest.mark.usefixtures("chunks")
def test_windows_are_shown_side_by_side(capsys):
    lines = screen(capsys, "chunks", "--batch-size", "20", "--window", "8,4,16", "--step-ms", "5", *FAST).splitlines()
    assert lines[0].startswith("chunks        chunks   2,000 samples, 40 chunks, ")
    assert lines[2] == "steps         100 an epoch"
    rows = [re.split(r"  +", line) for line in lines[4:15]]
    assert rows[0] == ["window", "4", "8", "16", "chunks (shuffle_window)"]
    assert [row[0] for row in rows[1:]] == [
        "mixes", "label", "memory", "", "read", "first batch", "rate", "at most", "waits", "an epoch"
    ]  # fmt: skip
    assert rows[4][1:4] == ["9.8", "12.0", "20.0"]
    assert rows[4][4] == "chunks' worth of rows, of max_queue_size=10, 12, 20"


@pytest.mark.slow
@pytest.mark.usefixtures("chunks")
def test_ranks_have_steps_and_bytes_of_their_own(capsys):
    words = ["chunks", "--batch-size", "30", "--ranks", "4", "--no-calibrate"]
    lines = screen(capsys, *words).splitlines()
    assert "last_batch='drop', world=(0, 4)" in lines[1]
    assert lines[2] == "steps         16 an epoch on each of 4 ranks   80 samples dropped"
    assert lines[-1] == "not measured   rate, waiting and classes: without --no-calibrate"
    (plan,) = told(capsys, *words)
    options = {"data_dir": "chunks", "batch_size": 30, "shuffle": True, "last_batch": "drop", "world": (0, 4)}
    with DataLoader(**options, num_epochs=None) as loader:
        assert {**plan, **loader.plan().as_dict()} == plan
    with DataLoader(**options) as loader:
        for _ in loader:
            pass
        assert plan["read_bytes"] == loader.metrics()["read_bytes"]


@pytest.mark.slow
def test_what_it_tells_to_write_against_sorted_chunks_helps(chunks, capsys):
    shown = screen(capsys, "chunks", "--batch-size", "20", *FAST)
    assert "chunks are sorted by label: with a window of 4 a batch of 20 is as varied in it as" in shown
    assert "sorted by source" not in shown
    remedy = re.search(r"Split again with --shuffle, or write shuffle_window=(\d+), max_queue_size=(\d+)\.", shown)
    window, queue_size = map(int, remedy.groups())

    def spread(**options):
        with DataLoader(data_dir=chunks, batch_size=20, shuffle=True, num_epochs=4, **options) as loader:
            shares = np.array([np.bincount(batch["label"], minlength=20) / 20 for batch in loader])
        return ((shares - 1 / 20) ** 2).sum(axis=1).mean()

    full = spread(shuffle_window=40, max_queue_size=41)
    assert full / spread() < 0.35
    assert full / spread(shuffle_window=window, max_queue_size=queue_size) > 0.45


@pytest.mark.slow
@pytest.mark.usefixtures("chunks")
def test_a_column_that_is_named_is_shown_also_where_it_is_well_mixed(capsys):
    shown = screen(capsys, "chunks", "--batch-size", "20", "--column", "source", *FAST)
    assert re.search(r"^source +\d+ +of 20 samples: so many of a full shuffle are as varied in source$", shown, re.M)
    assert "warning" not in shown
    (plan,) = told(capsys, "chunks", "--batch-size", "20", "--column", "source", *FAST)
    assert plan["variety"].keys() == {"source"}
    assert plan["variety"]["source"] > 0.9


@pytest.mark.slow
@pytest.mark.usefixtures("chunks")
def test_of_a_loader_that_shuffles_nothing_no_variety_is_said(capsys):
    (plan,) = told(capsys, "chunks", "--no-shuffle", "--batch-size", "20", *FAST)
    assert (plan["variety"], plan["shuffle_window"]) == ({}, 1)
    assert "warning" not in screen(capsys, "chunks", "--no-shuffle", "--batch-size", "20", *FAST)


@pytest.mark.slow
def test_the_page_stands_alone_and_the_log_directory_holds_the_plan(chunks, capsys):
    strange = chunks.rename(chunks.parent / "<b>chunks")
    screen(capsys, strange.name, "--window", "2,4", "--html", "plan.html", "--log-dir", "run1", *FAST)
    page = ParsedPage((chunks.parent / "plan.html").read_text())
    assert page.stands_alone()
    assert any("<b>chunks" in text for text in page.texts)
    warned = [text for text in page.texts if "Split again with --shuffle" in text]
    assert len(warned) == 1 and "chunks are sorted by label" in warned[0]  # one note
    plan = json.loads((chunks.parent / "run1" / "plan.json").read_text())
    assert plan["version"] == 1
    assert [each["shuffle_window"] for each in plan["predictions"]] == [2, 4]
    with DataLoader(data_dir=strange, batch_size=16, shuffle=True) as loader:
        next(loader)
        shared = loader.metrics().keys() & plan["predictions"][0].keys()
    assert shared >= {"read_bytes", "samples_per_second", "exposed_wait_fraction", "mixed_chunks", "resident_chunks"}


@pytest.mark.slow
def test_a_loader_of_your_own_is_planned(chunks, capsys):
    (chunks.parent / "planned_loaders.py").write_text(
        "from pyloader import DataLoader, Dataset\n"
        "class Doubled(Dataset):\n"
        "    def batch_encode(self, columns):\n"
        "        return {'x': columns['x'] * 2}\n"
        "def make(**options):\n"
        "    return DataLoader(None, Doubled(), data_dir='chunks', batch_size=25, shuffle=True, **options)\n"
        "def stubborn():\n"
        "    return DataLoader(data_dir='chunks')\n"
    )
    (plan,) = told(capsys, "--loader", "planned_loaders:make", "--ranks", "2", *FAST)
    assert (plan["batch_size"], plan["num_ranks"], plan["steps_per_epoch"]) == (25, 2, 40)
    assert plan["row_bytes"] == pytest.approx(16, abs=6)  # as the loop gets it
    assert main(["plan", "--loader", "planned_loaders:stubborn", "--window", "2"]) == 2
    assert "Write it as: def make(**options): return DataLoader(..., **options)" in capsys.readouterr().err
    assert main(["plan", "--loader", "planned_loaders:make", "--batch-size", "20"]) == 2
    assert "multiple values for keyword argument 'batch_size'): leave out one" in capsys.readouterr().err


@pytest.mark.usefixtures("chunks")
def test_a_loader_of_your_own_gets_the_options_that_are_typed(capsys):
    Path("open_loaders.py").write_text(
        "from pyloader import DataLoader\ndef make(**options):\n    return DataLoader(data_dir='chunks', **options)\n"
    )
    words = ["--loader", "open_loaders:make", "--no-calibrate"]
    (plan,) = told(capsys, *words, "--batch-size", "40", "--no-shuffle")
    assert (plan["batch_size"], plan["steps_per_epoch"], plan["mixed_chunks"]) == (40, 50, 1.44)
    assert plan["loader"] == "open_loaders:make(batch_size=40, shuffle=False)"
    assert main(["plan", *words, "--reader", "jsonl"]) == 2
    assert "the function says who reads; leave out --reader" in capsys.readouterr().err


@pytest.mark.usefixtures("chunks")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["chunks", "--window", "4,x"], "--window 4,x: write numbers of chunks, such as 4,8,16"),
        (["chunks", "--ranks", "0"], "--ranks must be at least 1, got 0"),
        (["chunks", "--seconds", "0"], "--seconds must be above 0, got 0.0"),
        (["chunks", "--no-calibrate", "--column", "label"], "--column needs some chunks to be read"),
        (["chunks", "--no-shuffle", "--column", "label"], "--column says how well a shuffle mixes"),
        (["chunks", "--column", "lable", *FAST], "no column 'lable'.* They have: label, source, x"),
        ([], "name a directory of chunks, or a function that makes your loader"),
        (["chunks", "--loader", "planned_loaders:make"], "leave out DIR"),
    ],
)
def test_what_cannot_be_planned_is_said_in_one_line(capsys, words, message):
    assert main(["plan", *words]) == 2
    assert re.search(message, capsys.readouterr().err)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--html", "no/such/plan.html"],
            "no/such/plan.html: cannot be written: No such file or directory. Give --html",
        ),
        (["--log-dir", "a_file"], "a_file/plan.json: cannot be written: Not a directory. Give --log-dir a directory"),
    ],
)
@pytest.mark.usefixtures("chunks")
def test_a_file_that_cannot_be_written_is_named_as_it_was_typed(capsys, words, message):
    Path("a_file").touch()
    assert main(["plan", "chunks", "--no-calibrate", *words]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_what_a_store_sends_is_what_was_said(server, tmp_path, capsys):
    words = ["s3://corpus/web", "--batch-size", "50", "--cache-dir", str(tmp_path / "cache"), "--no-calibrate"]
    (plan,) = told(capsys, *words)
    options = {"data_dir": "s3://corpus/web", "batch_size": 50, "shuffle": True, "cache_dir": str(tmp_path / "cache")}
    with DataLoader(**options) as loader:
        for _ in loader:
            pass
        assert loader.metrics()["fetched_bytes"] == plan["fetched_bytes"] == plan["read_bytes"] > 0
    (again,) = told(capsys, *words)
    assert again["fetched_bytes"] == 0
    assert "fetched" in screen(capsys, *words)


@pytest.mark.parametrize("command", ["plan", pytest.param("tune", marks=pytest.mark.slow)])
def test_encoded_images_that_are_not_decoded_are_said(tmp_path, monkeypatch, capsys, command):
    monkeypatch.chdir(tmp_path)
    image = b"GIF89a" + bytes([8, 0, 8, 0, 0, 0, 0]) + b"\x3b"
    with ChunkWriter("images", chunk_samples=20, format="columns") as writer:
        for number in range(60):
            writer.write({"image": image, "name": b"%d" % number})
    note = "image, not decoded here: a loader that decodes is slower. Try that: --loader module:make"
    assert main([command, "images", "--batch-size", "20", *FAST]) == 0
    assert note in capsys.readouterr().out


@pytest.mark.slow
def test_packed_rows_are_planned_with_their_fill_and_memory(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with ChunkWriter("docs", chunk_samples=20, format="columns") as writer:
        for number in range(100):
            writer.write({"ids": np.full(number % 30 + 1, number, np.uint16)})
    words = ["docs", "--pack", "32", "--column", "ids", "--batch-size", "4", *FAST]
    lines = screen(capsys, *words).splitlines()
    assert "pack=Packing(length=32, column='ids')" in lines[1] and "Padding" not in lines[1]
    with DataLoader(data_dir="docs", batch_size=4, pack=Packing(length=32, column="ids"), shuffle=True) as loader:
        assert lines[2] == f"steps         {len(loader)} an epoch"
        assert lines[3] == f"packed        rows of 32 tokens, {loader.stats().packed_fill:.1%} filled"
    (found,) = told(capsys, *words)
    assert found["steps_per_epoch"] == len(loader)
    assert 1_000 < found["resident_bytes"] < 100_000
    assert main(["plan", *words, "--column", "other"]) == 2
    assert "with --pack one --column is typed at most" in capsys.readouterr().err
