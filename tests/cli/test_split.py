"""pyloader split, as one types it."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_images import tiny_jpeg

from pyloader.cli.main import main
from pyloader.files import list_chunks

GSM8K = Path(__file__).resolve().parents[1] / "data" / "gsm8k_train.jsonl"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("dump.jsonl").write_text("".join(f'{{"question": "q{i}", "answer": {i}}}\n' for i in range(100)))


def test_a_dump_is_split_and_the_screen_says_what_came_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["split", "dump.jsonl", "chunks/", "--num-chunks", "8", "--shuffle", "--holdout", "val=20%"]) == 0
    shown = capsys.readouterr()
    train, val = list_chunks("chunks/train"), list_chunks("chunks/val")
    assert train.counts is not None
    assert val.counts is not None
    assert f"chunks/train   {train.counts.sum()} samples, 8 chunks of " in shown.out
    assert f"chunks/val     {val.counts.sum()} samples, " in shown.out
    assert "question: str, answer: int64" in shown.out
    assert shown.out.rstrip().endswith("pyloader peek chunks/train")
    assert shown.err == ""


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["split", "dump.jsonl", "chunks/", "-q"]) == 0
    assert capsys.readouterr() == ("", "")


def test_the_same_command_again_does_nothing_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["split", "dump.jsonl", "chunks/"]) == 0
    assert main(["split", "dump.jsonl", "chunks/"]) == 0
    assert "all chunks were there already" in capsys.readouterr().out


def test_the_command_in_the_manifest_is_the_one_that_makes_it_again() -> None:
    words = [
        "split",
        "dump.jsonl",
        "chunks/",
        "--chunk-samples",
        "30",
        "--shuffle",
        "--seed",
        "3",
        "--holdout",
        "val=0.1",
        "--columns",
        "answer",
    ]
    assert main(words) == 0
    manifest = list_chunks("chunks/train").manifest
    assert manifest is not None
    again = manifest.made_by["command"].split()
    assert again[:2] == ["pyloader", "split"]
    Path("chunks/train/chunk-00001.jsonl.zst").unlink()
    assert main(again[1:]) == 0
    assert len(list_chunks("chunks/train")) == len(manifest.chunks)


def test_arrays_are_split_by_column(capsys: pytest.CaptureFixture[str]) -> None:
    np.save("x.npy", np.zeros((50, 4), np.float32))
    np.save("y.npy", np.arange(50))
    assert main(["split", "image=x.npy", "label=y.npy", "chunks/", "--chunk-samples", "20"]) == 0
    assert "image: float32 [4], label: int64" in capsys.readouterr().out
    assert Path("chunks/chunk-00002.columns/image.npy").exists()


def test_standard_input_is_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(Path("dump.jsonl").read_bytes())))
    assert main(["split", "-", "chunks/", "--from", "jsonl", "--chunk-samples", "30"]) == 0
    counts = list_chunks("chunks").counts
    assert counts is not None
    assert counts.tolist() == [30, 30, 30, 10]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (
            "dump.jsonl dump.jsonl",
            "the last argument is the output directory, and dump.jsonl is a file. Add one: … dump",
        ),
        ("- chunks/", "standard input has no suffix to go by. Say what it is: --from jsonl (or text, csv, tsv)"),
        ("missing.jsonl chunks/", "missing.jsonl: there is no such file"),
        ("dmup.jsonl chunks/", "dmup.jsonl: there is no such file. Did you mean 'dump.jsonl'?\n"),
        ("dmup*.jsonl chunks/", "dmup*.jsonl: there is no such file.\n"),
        ("dump.jsonl chunks/ --from npy", "dump.jsonl: is no .npy file by its name."),
        ("chunks/", "there is nothing to split into chunks/"),
        ("dump.jsonl chunks/ --num-chunks 101", "dump.jsonl: holds 100 samples, too few for 101 chunks"),
        ("dump.jsonl chunks/ --num-chunks 0", "'0' is not a number of at least 1"),
        ("dump.jsonl chunks/ --chunk-bytes 5parsec", "'5parsec' is not a size; write 64MiB"),
        ("dump.jsonl chunks/ --holdout train=0.1", "holdout 'train' must be a plain directory name other than 'train'"),
        ("dump.jsonl chunks/ --holdout val", "'val' is not like val=0.02"),
        (
            "dump.jsonl chunks/ --encode nowhere:Class",
            "--encode nowhere:Class cannot be imported (No module named",
        ),
        (
            "dump.jsonl chunks/ --columns score",
            "dump.jsonl:1: has no column 'score'; it has 'question' and 'answer'. Say",
        ),
        (
            "dump.jsonl chunks/ --columns quesion",
            "'answer'. Did you mean 'question'? Else say what to put there: --fill",
        ),
        ("dump.jsonl chunks/ --to tar", "invalid choice: 'tar'"),
        ("dump.jsonl chunks/ --chunk-samples 3 --num-chunks 3", "not allowed with argument"),
        (". chunks/", ".: is a directory. It holds 1 .jsonl. Name its files: './*.jsonl'"),
    ],
)
def test_wrong_use_is_told_in_one_line(words: str, complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["split", *words.split()]) == 2
    err = capsys.readouterr().err
    assert complaint in err
    assert "Traceback" not in err
    assert not Path("chunks", "manifest.json").exists()


def test_other_chunks_are_not_mixed_in(capsys: pytest.CaptureFixture[str]) -> None:
    Path("other.jsonl").write_text('{"question": "x", "answer": 1}\n' * 40)
    assert main(["split", "dump.jsonl", "chunks/", "-q"]) == 0
    assert main(["split", "other.jsonl", "chunks/", "-q"]) == 2
    err = capsys.readouterr().err
    assert "chunks/ holds 17 chunks of another dump (dump.jsonl, " in err
    assert "Choose another directory, or --append, or --overwrite" in err
    assert main(["split", "other.jsonl", "chunks/", "-q", "--append"]) == 0
    chunks = list_chunks("chunks")
    assert chunks.counts is not None
    assert chunks.counts.sum() == 140
    assert main(["split", "other.jsonl", "chunks/", "-q", "--append"]) == 0  # the same again: there already
    assert len(list_chunks("chunks")) == len(chunks)
    assert main(["split", "other.jsonl", "chunks/", "-q", "--overwrite"]) == 0
    counts = list_chunks("chunks").counts
    assert counts is not None
    assert counts.sum() == 40


def test_fill_and_columns_make_uneven_lines_even(capsys: pytest.CaptureFixture[str]) -> None:
    Path("uneven.jsonl").write_text('{"a": "x", "score": 1.5}\n{"a": "y"}\n')
    assert main(["split", "uneven.jsonl", "chunks/"]) == 2
    assert (
        "uneven.jsonl:2: lacks 'score', which the rows before it have. Say what to put there: --fill score=nan, "
        in (complaint := capsys.readouterr().err)
    )
    assert "--columns a" in complaint
    assert main(["split", "uneven.jsonl", "chunks/", "--columns", "a"]) == 0
    for _ in range(2):  # the second time there is nothing to do, and it is still true
        assert main(["split", "uneven.jsonl", "filled/", "--fill", "score=0.5"]) == 0
        shown = " ".join(capsys.readouterr().out.split())
        assert "a: str, score: float64 (missing in 1 sample: --fill score=0.5 was given)" in shown


def test_no_line_is_wider_than_80_characters(capsys: pytest.CaptureFixture[str]) -> None:
    Path("wide.jsonl").write_text(json.dumps({f"a_long_name_{i}": i for i in range(20)}) + "\n")
    assert main(["split", "wide.jsonl", "chunks/"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["split", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "pyloader split image=x.npy label=y.npy chunks/" in shown
    assert "which sample goes where" in shown
    pytest.importorskip("pyarrow")
    np.arange(3000, dtype=np.uint16).tofile("train.bin")
    for name in ("photos/cat/1.jpg", "photos/dog/2.jpg"):
        Path(name).parent.mkdir(parents=True)
        Path(name).write_bytes(tiny_jpeg(name.encode()))
    Path("dump.jsonl").write_text('{"url": "a"}\n{"url": "a"}\n')
    examples = [line.split() for line in shown.splitlines() if line.startswith("  pyloader split ")]
    ours = [words[1:] for words in examples if words[2] in ("train.bin", "photos/") or "--unique" in words]
    assert len(ours) == 3
    for number, words in enumerate(ours):
        assert main([f"{number}/" if word == "chunks/" else word for word in words]) == 0


def test_gsm8k_is_split_into_32_chunks_of_6_or_7() -> None:
    assert main(["split", str(GSM8K), "chunks/", "--num-chunks", "32", "-q"]) == 0
    counts = list_chunks("chunks").counts
    assert counts is not None
    assert counts.sum() == 200
    assert set(counts.tolist()) == {6, 7}


def test_the_report_comes_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["split", "dump.jsonl", "out/", "--holdout", "val=0.2", "--num-chunks", "2", "--json"]
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert not err
    found = json.loads(out)
    assert [output["directory"] for output in found["outputs"]] == ["out/train", "out/val"]
    for output in found["outputs"]:
        chunks = list_chunks(output["directory"])
        assert chunks.counts is not None
        assert output["num_samples"] == sum(output["counts"]) == chunks.counts.sum()
        assert output["num_bytes"] == chunks.sizes.sum()
        assert output["raw_bytes"] > 0
    assert sum(output["num_samples"] for output in found["outputs"]) == 100
    assert {column["name"] for column in found["columns"]} == {"question", "answer"}
    assert found["num_written"] == sum(len(output["counts"]) for output in found["outputs"])
    assert found["seconds"] > 0
    assert main(words) == 0
    again = json.loads(capsys.readouterr().out)
    assert (again["num_written"], again["outputs"]) == (0, found["outputs"])
