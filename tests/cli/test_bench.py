"""`pyloader bench`: how fast chunks come, and what would make it faster."""

from __future__ import annotations

import itertools
import json
import mmap
import re
from types import SimpleNamespace

import numpy as np
import pytest

from pyloader import ChunkWriter, Ragged
from pyloader.cli import bench as command
from pyloader.cli.main import main
from pyloader.inspecting.measuring import Measurement, measure, num_rows, private_bytes

FAST = ["--seconds", "0.02"]


@pytest.fixture
def chunks(tmp_path, monkeypatch):
    """Six .columns chunks of 500 rows, in the working directory, with a manifest."""
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.chdir(tmp_path)
    for index in range(6):
        (tmp_path / "chunks" / f"{index}.columns").mkdir(parents=True)
        np.save(tmp_path / "chunks" / f"{index}.columns" / "x.npy", np.zeros((500, 4), np.float32))
    assert main(["index", "chunks", "-q"]) == 0
    return tmp_path / "chunks"


def screen(capsys, *words) -> str:
    assert main(["bench", *words, *FAST]) == 0
    out, err = capsys.readouterr()
    assert not err
    return out


@pytest.mark.slow
@pytest.mark.usefixtures("chunks")
def test_the_screen_says_how_fast_and_what_it_takes(capsys):
    lines = screen(capsys, "chunks", "--batch-size", "50").splitlines()
    assert re.fullmatch(r"chunks        chunks   3,000 samples, 6 chunks, 48.8 kB on disk", lines[0])
    assert lines[1] == 'loader        DataLoader(data_dir="chunks", batch_size=50, shuffle=True)'
    assert re.fullmatch(r"rate          [\d,]+ samples/s   [\d,]+ batches/s", lines[2])
    assert re.fullmatch(r" {14}a training step of [\d.e+,-]+ ms or more does not wait for data", lines[3])
    assert re.fullmatch(r"first batch   [\d,]+ ms", lines[4])
    assert re.fullmatch(r"memory        .*   at most \d+\.\d of 10 chunks", lines[5])
    assert re.match(r"busy          read \d+%   shuffle \d+%   encode 0%   collate 0%   of the time", lines[6])
    assert re.fullmatch(r"mixing        the average batch holds samples of [34]\.\d chunks", lines[7])
    assert [re.split(r"  +", line)[0] for line in lines[9:17]] == [
        "tried",
        "as it is",
        "num_workers=0",
        "num_workers=2",
        "num_workers=4",
        "num_workers=0, num_readers=1",
        "num_readers=2",
        "shuffle_window=1",
    ]
    assert lines[-1].startswith("next          ")


@pytest.mark.usefixtures("chunks")
def test_options_are_those_of_the_loader_and_alone_tries_no_others(capsys):
    words = ["--no-shuffle", "--num-workers", "0", "--num-readers", "2", "--max-queue-size", "3", "--alone"]
    out = screen(capsys, "chunks", *words)
    assert "shuffle=False, max_queue_size=3, num_readers=2, num_workers=0)" in out
    assert "of 3 chunks" in out
    assert "num_workers=2" not in out
    assert out.endswith("next          without --alone, other options are tried\n")


@pytest.mark.slow
def test_where_a_manifest_would_make_mixing_faster_the_screen_says_so(chunks, capsys):
    def first_lines(*words) -> str:
        return screen(capsys, "chunks", "--alone", *words).partition("loader  ")[0]

    assert "manifest" not in first_lines()
    (chunks / "manifest.json").unlink()
    said = "\n              no manifest: arrays are mixed faster with one. Make it:  pyloader index chunks\n"
    assert said in first_lines()
    for words in (["--shuffle-window", "1"], ["--no-shuffle"]):
        assert "manifest" not in first_lines(*words)


def test_of_lines_of_text_a_manifest_makes_no_array(tmp_path, capsys):
    for name in "abcdef":
        (tmp_path / f"{name}.jsonl").write_text('{"text": "one"}\n' * 20)
    assert "manifest" not in screen(capsys, str(tmp_path), "--alone")


@pytest.mark.slow
@pytest.mark.usefixtures("chunks")
def test_json_has_every_trial_with_its_figures(capsys):
    trials = json.loads(screen(capsys, "chunks", "--shuffle-window", "1", "--json"))
    assert [trial["name"] for trial in trials][:2] == ["as it is", "num_workers=0"]
    assert trials[1]["options"] == {
        "data_dir": "chunks",
        "batch_size": 256,
        "shuffle": True,
        "shuffle_window": 1,
        "num_workers": 0,
    }
    assert trials[0]["num_samples"] > 0
    assert trials[0]["samples_per_second"] > 0
    assert trials[0]["stats"]["num_workers"] == 1


@pytest.mark.usefixtures("chunks")
def test_a_loader_of_ones_own_is_measured_beside(capsys, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "loaders_of_mine.py").write_text("def tens():\n    return ((range(10), 0) for _ in range(5))\nx = 3\n")
    out = screen(capsys, "chunks", "--alone", "--loader", "loaders_of_mine:tens")
    assert re.search(r"^loaders_of_mine:tens +[\d,]+ +[\d.]+ +\d+ ms", out, re.MULTILINE)
    out = screen(capsys, "--loader", "loaders_of_mine:tens")
    assert "loader        loaders_of_mine:tens" in out
    assert "pyloader bench DIR --loader" in out
    for name, answer in (
        ("loaders_of_mine", "--loader loaders_of_mine: write it as package.module:name"),
        ("loaders_of_mine:no", "--loader loaders_of_mine:no cannot be imported (module 'loaders_of_mine' has no"),
        ("loaders_of_mine:x", "--loader loaders_of_mine:x is a int, not a function that returns a loader"),
    ):
        assert main(["bench", "--loader", name, *FAST]) == 2
        assert answer in capsys.readouterr().err


@pytest.mark.usefixtures("chunks")
def test_wrong_use_is_said_in_one_line(capsys):
    for words, answer in (
        ([], "name a directory of chunks, or a loader of your own: --loader module:function"),
        (["chunks", "--seconds", "0"], "--seconds must be above 0, got 0"),
        (["nowhere"], "nowhere"),
    ):
        assert main(["bench", *words]) == 2
        err = capsys.readouterr().err
        assert answer in err
        assert err.count("\n") == 1


def trial(rate: float, name: str = "as it is", **options) -> command.Trial:
    figures = Measurement(
        num_batches=10,
        num_samples=100,
        seconds=1.0,
        first_batch_seconds=0.1,
        samples_per_second=rate,
        memory_bytes=0,
        is_whole=False,
    )
    return command.Trial(options={"data_dir": "chunks", **options}, name=name, measurement=figures, stats=None)


def test_the_advice_is_what_was_measured_to_be_faster_with_the_same_batches():
    narrow = trial(500, "shuffle_window=1", shuffle_window=1)
    advice = command._advice([trial(100), trial(200, num_workers=2), trial(150, num_readers=2), narrow])
    assert advice == 'DataLoader(data_dir="chunks", num_workers=2)   2.0 times as fast, and the same batches'
    advice = command._advice([trial(100), trial(104, num_workers=2), narrow])
    assert advice.startswith("nothing tried is faster with the same batches   shuffle_window=1 is 5.0 times as fast")


def test_batches_are_measured_from_the_first_to_the_last():
    found = measure(lambda: [{"x": [1, 2]}, {"x": [3, 4]}, {"x": [5]}], seconds=9)
    assert (found.num_batches, found.num_samples, found.is_whole) == (3, 5, True)
    assert found.seconds >= found.first_batch_seconds > 0
    assert measure(lambda: [[1, 2]], seconds=9).samples_per_second > 0
    assert not measure(lambda: iter(lambda: [1], None), seconds=0.01).is_whole
    with pytest.raises(ValueError, match="there was not one batch"):
        measure(list, seconds=1)


def test_the_length_of_a_batch_is_that_of_its_first_value():
    assert num_rows({"x": np.zeros((3, 2)), "y": 0}) == 3
    assert num_rows(({"x": [1, 2]}, [1])) == 2
    assert num_rows(np.zeros((4, 2))) == 4
    with pytest.raises(
        ValueError, match="a batch is a int whose length is unknown; deliver a dict, a tuple, or an arr"
    ):
        num_rows(3)


def test_private_memory_grows_with_what_is_kept():
    if not (before := private_bytes()):
        pytest.skip("this system has no /proc")
    with mmap.mmap(-1, 20_000_000) as kept:  # of its own: other memory may have been there before
        kept.write(bytes(20_000_000))
        assert private_bytes() - before > 15_000_000


@pytest.mark.slow
def test_rows_of_unequal_length_are_padded(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.chdir(tmp_path)
    with ChunkWriter("chunks") as writer:
        writer.write_columns({"ids": Ragged.from_rows([[1] * (number % 5) for number in range(300)])})
    shown = 'DataLoader(data_dir="chunks", batch_size=256, shuffle=True, datacollator=PaddingDataCollator(pad_value=0))'
    assert shown in screen(capsys, "chunks", "--alone")
    (trial,) = json.loads(screen(capsys, "chunks", "--alone", "--json"))
    assert trial["options"]["datacollator"] == "PaddingDataCollator(pad_value=0)"


def test_rows_that_no_padding_makes_alike_are_an_error(capsys, tmp_path):
    (tmp_path / "a.jsonl").write_text('{"x": [1]}\n{"x": ["a"]}\n')
    assert main(["bench", str(tmp_path), *FAST, "--alone", "-q"]) == 2
    assert "'x' has a value of type str among numbers" in capsys.readouterr().err


def test_what_comes_before_a_loader_has_found_its_threads_is_not_in_its_rate(monkeypatch):
    answers, clock = iter([False, False, True]), itertools.count()
    monkeypatch.setattr("pyloader.inspecting.measuring.time", SimpleNamespace(perf_counter=lambda: next(clock)))
    batches = [{"x": [0] * 1000}, {"x": [0] * 1000}, {"x": [0] * 1000}, {"x": [0]}]
    found = measure(lambda: batches, seconds=9, is_settled=lambda: next(answers))
    assert found.num_samples == 3001 and found.samples_per_second == 1
