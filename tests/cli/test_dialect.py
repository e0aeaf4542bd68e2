"""What files are said to be, on the command line: --from, --delimiter and --quote; and hints for what is not known."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from pyloader import DataLoader
from pyloader.cli.main import main

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 734003200\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    assert main(list(words)) == code
    shown = capsys.readouterr()
    return shown.err if code else shown.out


def loaded(place: str) -> dict[str, list]:
    columns: dict[str, list] = {}
    for batch in DataLoader(data_dir=place, batch_size=10):
        for name, values in batch.items():
            columns.setdefault(name, []).extend(values)
    return columns


SAID = [
    (["--delimiter", ";"], 'a;b\n1;"x;y"\n', {"delimiter": ";"}, ["x;y"]),
    (["--delimiter", "tab"], "a\tb\n1\tx\n", {"delimiter": "\t"}, ["x"]),
    (["--delimiter", r"\t"], "a\tb\n1\tx\n", {"delimiter": "\t"}, ["x"]),
    (["--quote", "none"], 'a,b\n1,"x\n', {"quote": "none"}, ['"x']),
    (["--delimiter", "|", "--quote", "'"], "a|b\n1|'x|y'\n", {"delimiter": "|", "quote": "'"}, ["x|y"]),
]


@pytest.mark.parametrize(("words", "text", "options", "values"), SAID)
def test_a_dialect_is_said_to_index_once_and_loading_needs_no_option(capsys, words, text, options, values):
    Path("d").mkdir()
    Path("d/a.csv").write_text(text)
    run(capsys, "index", "d", *words)
    manifest = json.loads(Path("d/manifest.json").read_text())
    assert (manifest["reader"], manifest["reader_options"]) == ("csv", options)
    assert loaded("d")["b"] == values
    run(capsys, *shlex.split(manifest["made_by"]["command"])[1:], "--overwrite")
    assert loaded("d")["b"] == values


@pytest.mark.parametrize(("words", "text", "options", "values"), SAID)
def test_split_and_peek_take_the_same_words(capsys, words, text, options, values):
    Path("a.csv").write_text(text)
    shown = run(capsys, "peek", "a.csv", *words)
    given = ", ".join(f"{name}={value!r}" for name, value in options.items())
    assert f'DataLoader(datareader=DelimitedReader({given}), data_dir="a.csv"' in shown
    assert f"b   {values[0]}" in shown
    command = shown.partition("or split   ")[2].splitlines()[0]
    assert command.startswith("pyloader split a.csv chunks/ --")
    run(capsys, "split", "a.csv", "chunks", *words)
    assert loaded("chunks")["b"] == values
    assert "nothing to do" in run(capsys, "split", "a.csv", "chunks", *words)


def test_text_is_taken_as_it_is_when_it_is_said_to_be_text(capsys):
    Path("t").mkdir()
    Path("t/1.txt").write_text("a\nb\n")
    Path("t/2.txt").write_text(POINTER)
    for words in (
        ["split", "t/1.txt", "t/2.txt", "chunks"],
        ["peek", "t/2.txt"],
        ["peek", "t", "--all"],
        ["index", "t"],
    ):
        complaint = run(capsys, *words, code=2)
        assert "t/2.txt: is a pointer of Git LFS, not the data" in complaint
        assert "--from text" in complaint
        run(capsys, *words, "--from", "text")
    assert len(loaded("chunks")["text"]) == len(loaded("t")["text"]) == 5
    assert json.loads(Path("t/manifest.json").read_text())["reader_options"] == {"sniff": False}


def test_files_of_another_suffix_are_said_to_be_csv(capsys):
    Path("a.dat").write_text("a,b\n1,x\n")
    assert "DataLoader(datareader=DelimitedReader(), " in run(capsys, "peek", "a.dat", "--from", "csv")
    Path("b.dat").write_text("a\tb\n1\tx\n")
    assert "DelimitedReader(delimiter='\\t')" in run(capsys, "peek", "b.dat", "--from", "tsv")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (
            "peek a.jsonl --quote none",
            "--delimiter and --quote are for delimited text. If the files are that: --from csv",
        ),
        ("peek a.csv --from text --quote none", "--delimiter and --quote are for delimited text"),
        ("index . --from csv --reader csv", "--reader and --from, --delimiter or --quote were given"),
        ("split a.csv o --delimiter ;;", "argument --delimiter: delimiter must be one character, got ';;'"),
        ("split a.csv o --quote xy", "argument --quote: quote must be one character, or \"none\", got 'xy'"),
    ],
)
def test_what_cannot_be_said_is_refused(capsys, words, complaint):
    Path("a.jsonl").write_text('{"a": 1}\n')
    Path("a.csv").write_text("a,b\n1,2\n")
    assert complaint in run(capsys, *words.split(), code=2)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("a", "a: has no suffix to go by. Say what it is: --from jsonl, text, csv"),
        ("README.md", "README.md: ends in .md, which split does not know. Known: .jsonl, "),
        ("a.json.lz4", "ends in .lz4, which split does not know. Unpack it: lz4 -d a.json.lz4"),
        ("a.zip", "ends in .zip, which split does not know. Unpack it: unzip a.zip"),
        ("a.tar.gz", "ends in .tar, which split does not know. Unpack it: tar -xf a.tar.gz"),
        (
            "code.bin",
            "code.bin: does not say where a sample begins. A .bin file is taken for tokens, one after another",
        ),
        ("d0.jpg", "ends in .jpg, which split does not know. Images are split by the folder that"),
        ("d0.wav", "ends in .wav, which split does not know. Sounds are split by the folder that"),
    ],
)
def test_an_unknown_suffix_is_named_with_what_takes_such_files(capsys, name, complaint):
    Path(name).write_text("x\n")
    assert complaint in run(capsys, "split", name, "chunks", code=2)


def test_a_directory_is_answered_with_what_is_in_it(capsys):
    Path("tree/0").mkdir(parents=True)
    assert "tree: is a directory without files" in run(capsys, "split", "tree", "chunks", code=2)
    for name in ("0/d0.zip", "0/d1.zip", "notes.md"):
        Path("tree", name).touch()
    assert "tree: is a directory. It holds 2 .zip, 1 .md. Unpack it: unzip tree/0/d0.zip" in run(
        capsys, "split", "tree", "chunks", code=2
    )
    Path("tree/0/a.jsonl").write_text('{"a": 1}\n')
    shown = run(capsys, "split", "tree", "chunks", code=2)
    assert shown.endswith("Name its files: 'tree/**/*.jsonl'\n")
    run(capsys, "split", "tree/**/*.jsonl", "chunks")


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('{"a": NaN}', "NaN and Infinity are not JSON: write null, and say what stands for it: --fill KEY=nan"),
        ('{"a":', "is not JSON (Input data was truncated)"),
        ('{"a": [', "is not whole JSON: it goes on in the next line. Write each object on one line, as jq -c . does"),
        (r'{"a": "\ud83d"}', r"is not JSON: \ud83d is one half of a surrogate pair, and no character"),
    ],
)
def test_a_line_that_is_no_json_gets_the_hint_that_fits(capsys, line, complaint):
    Path("a.jsonl").write_text(f'{{"a": 1}}\n{line}\n')
    shown = run(capsys, "split", "a.jsonl", "chunks", code=2)
    assert shown.startswith("pyloader split: error: a.jsonl:2: ")
    assert complaint in shown


@pytest.mark.slow
def test_peek_at_a_large_file_with_an_open_quote_says_where_it_opens(capsys):
    Path("u.tsv").write_text('id\ttext\n0\tx\n1\t"never closed\n' + "2\tplain words\n" * 700_000)
    assert "u.tsv:3: opens a quote that is not closed within 10,000 lines" in run(capsys, "peek", "u.tsv", code=2)
    assert "about" in run(capsys, "peek", "u.tsv", "--quote", "none")
