"""The frame of the command line: one-line errors, exit codes, and nothing loaded that is not used."""

import os
import subprocess
import sys
import types

import pytest

from pyloader import __version__ as VERSION
from pyloader.cli import main as frame
from pyloader.cli.main import COMMANDS, main
from pyloader.errors import ChunkReadError


def command_that(act, monkeypatch):
    """Let `pyloader try` call `act`."""
    module = types.ModuleType("a_command")

    def add_parser(subparsers):
        parser = subparsers.add_parser("try")
        parser.add_argument("--number", type=int)

    module.add_parser, module.run = add_parser, act  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "a_command", module)
    monkeypatch.setitem(frame.COMMANDS, "try", ("a_command", "a test"))


def failing_with(error, monkeypatch):
    def act(arguments):
        raise error

    command_that(act, monkeypatch)


def test_every_command_is_listed_with_what_it_does(capsys):
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for command, (_, what) in COMMANDS.items():
        assert f"{command} " in shown
        assert what in shown
    assert "Begin with pyloader demo" in shown


def test_no_command_is_wrong_use_and_shows_the_same(capsys):
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith("usage: pyloader COMMAND")


def test_the_version_names_the_distribution(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"pyloader-stream {VERSION}\n"


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("verfy", "Did you mean pyloader verify?"),
        (
            "xyzzy",
            "There are: split, compact, peek, verify, locate, audit, watch, report, index, bench, plan, tune, fetch, "
            "cache, demo",
        ),
    ],
)
def test_an_unknown_command_is_answered_with_the_one_meant(capsys, typed, answer):
    assert main([typed]) == 2
    assert capsys.readouterr().err == f"pyloader: error: there is no command {typed!r}. {answer}\n"


@pytest.mark.parametrize("command", ["peek", "verify", "locate", "audit", "index"])
def test_each_command_explains_itself(capsys, command):
    assert main([command, "--help"]) == 0
    assert f"usage: pyloader {command}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ChunkReadError("a.jsonl", "is no JSON.", "Mend it", line=3), "a.jsonl:3: is no JSON. Mend it"),
        (ValueError("--ranks must be at least 1"), "--ranks must be at least 1"),
        (TypeError("seed must be an int"), "seed must be an int"),
        (PermissionError(13, "Permission denied", "chunks/a"), "chunks/a: Permission denied"),
        (OSError("the disk is gone"), "the disk is gone"),
        (FileNotFoundError(2, "No such file", "nowhere/a.png"), "nowhere/a.png: there is no directory nowhere"),
        (FileNotFoundError(2, "No such file or directory", "a.png"), "a.png: No such file or directory"),
        (ValueError(), "ValueError"),
        (MemoryError("Unable to allocate 8.00 TiB"), "there is not enough memory. Unable to allocate 8.00 TiB"),
        (MemoryError(), "there is not enough memory."),
    ],
)
def test_an_error_is_one_line_without_traceback(capsys, monkeypatch, error, line):
    failing_with(error, monkeypatch)
    assert main(["try"]) == 2
    assert capsys.readouterr() == ("", f"pyloader try: error: {line}\n")


def test_notes_of_an_error_are_shown_with_it(capsys, monkeypatch):
    error = ValueError("bad row")
    error.add_note("while reading a.jsonl")
    failing_with(error, monkeypatch)
    assert main(["try"]) == 2
    assert capsys.readouterr().err == "pyloader try: error: bad row; while reading a.jsonl\n"


def test_the_traceback_is_there_on_request(capsys, monkeypatch):
    failing_with(ValueError("bad"), monkeypatch)
    monkeypatch.setenv("PYLOADER_TRACEBACK", "1")
    assert main(["try"]) == 2
    err = capsys.readouterr().err
    assert "Traceback (most recent call last)" in err
    assert err.endswith("pyloader try: error: bad\n")


def test_a_bug_is_not_dressed_up_as_wrong_use(monkeypatch):
    failing_with(AssertionError("cannot be"), monkeypatch)
    with pytest.raises(AssertionError, match="cannot be"):
        main(["try"])


@pytest.mark.parametrize(
    ("interrupt", "line"),
    [(KeyboardInterrupt(), "pyloader try: stopped"), (KeyboardInterrupt("stopped with 4 of 9"), "stopped with 4 of 9")],
)
def test_ctrl_c_is_a_calm_line(capsys, monkeypatch, interrupt, line):
    failing_with(interrupt, monkeypatch)
    assert main(["try"]) == 130
    assert capsys.readouterr() == ("", f"{line}\n")


def test_a_reader_that_has_seen_enough_is_no_error(capsys, monkeypatch):
    failing_with(BrokenPipeError(32, "Broken pipe"), monkeypatch)
    monkeypatch.setattr("os.dup2", lambda *_: None)
    assert main(["try"]) == 141
    assert capsys.readouterr() == ("", "")


def test_what_a_command_returns_is_the_exit_code(monkeypatch):
    command_that(lambda arguments: arguments.number, monkeypatch)
    assert main(["try", "--number", "1"]) == 1


def test_wrong_options_are_answered_in_one_line(capsys, monkeypatch):
    command_that(lambda arguments: 0, monkeypatch)
    assert main(["try", "--numbre", "1"]) == 2
    err = capsys.readouterr().err
    assert err == "pyloader try: error: there is no option '--numbre'. Did you mean --number?\n"
    assert main(["split", "a.jsonl", "chunks/", "--chunk-size=3"]) == 2
    assert "'--chunk-size=3'. Did you mean --chunk-samples or --chunk-bytes?" in capsys.readouterr().err
    assert main(["try", "--xyz=1"]) == 2
    err = capsys.readouterr().err
    assert err == "pyloader try: error: there is no option '--xyz=1'. See them all: pyloader try --help\n"
    assert main(["try", "more"]) == 2
    expected = "pyloader try: error: 'more' is one word too many. See which are taken: pyloader try --help\n"
    assert capsys.readouterr().err == expected
    assert main(["try", "--number", "x"]) == 2
    expected = "pyloader try: error: argument --number: invalid int value: 'x'. See pyloader try --help\n"
    assert capsys.readouterr().err == expected


def test_options_are_not_abbreviated(capsys, monkeypatch):
    command_that(lambda arguments: 0, monkeypatch)
    assert main(["try", "--num", "1"]) == 2
    assert "there is no option '--num'" in capsys.readouterr().err


def test_a_word_too_many_is_named(capsys):
    assert main(["plan", "chunks", "more"]) == 2
    assert "'more' is one word too many. See which are taken: pyloader plan --help" in capsys.readouterr().err


def test_help_loads_nothing_but_the_frame():
    code = (
        "import sys; from pyloader.cli.main import main; main(['--help']);"
        "sys.exit(bool({'numpy', 'tqdm', 'msgspec', 'pyarrow'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


@pytest.mark.slow
def test_the_module_is_the_command(tmp_path):
    nowhere = str(tmp_path / "nowhere")
    ran = subprocess.run([sys.executable, "-m", "pyloader", "peek", nowhere], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == f"pyloader peek: error: {nowhere} does not exist.\n"


@pytest.mark.slow
def test_a_closed_pipe_leaves_no_complaint(tmp_path):
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "pyloader", "peek", str(tmp_path)]
    with open(writing, "w") as pipe:
        ran = subprocess.run(command, stdout=pipe, stderr=subprocess.PIPE, text=True)
    assert (ran.returncode, ran.stderr) == (141, "")
