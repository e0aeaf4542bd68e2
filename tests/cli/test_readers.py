"""The reader that the user typed: found in the working directory, and nothing else is looked for there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from pyloader import DataLoader, register_reader
from pyloader.cli.main import main
from pyloader.errors import ManifestError
from pyloader.files.manifest import read_manifest
from pyloader.indexed import ChunkedDataset
from pyloader.read import registry

READERS = """
from pathlib import Path
from pyloader import DataReader, Dataset
import {companion}

class Pairs(DataReader):
    def __init__(self, separator="|", **others):
        super().__init__(**others)
        self.separator = separator

    def read_file(self, path):
        rows = [{companion}.CLEAN(row) for row in Path(path).read_text().split(self.separator)]
        return {{"pair": rows}}, len(rows)

class Plain:
    pass

class Shout(Dataset):
    def batch_encode(self, columns):
        return {{name: [value.upper() for value in values] for name, values in columns.items()}}

def tens():
    return ((range(10), 0) for _ in range(5))
"""


@pytest.fixture(autouse=True)
def a_wide_screen(monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")


@pytest.fixture
def mine(tmp_path, monkeypatch, request) -> str:
    """A module of readers in the working directory, beside it a chunk that only they can read; the module's name."""
    monkeypatch.chdir(tmp_path)
    name = f"mine_{abs(hash(request.node.nodeid))}"  # modules stay imported from test to test
    Path(f"{name}_too.py").write_text("CLEAN = str.strip\n")
    Path(f"{name}.py").write_text(READERS.format(companion=f"{name}_too"))
    Path("chunks").mkdir()
    Path("chunks/a.pairs").write_text("one| two|three")
    return name


def run(*words: str, folder: str = ".", module: bool = False) -> subprocess.CompletedProcess:
    program = ["-m", "pyloader"] if module else ["-c", "from pyloader.cli.main import main; raise SystemExit(main())"]
    path = "" if module else "import sys; sys.path.remove(''); "
    if not module:
        program[1] = path + program[1]
    return subprocess.run([sys.executable, *program, *words], cwd=folder, capture_output=True, text=True)


def booby_trap(folder: str, name: str) -> None:
    """Let whoever imports `name` from this folder leave a trace."""
    code = "open('RAN', 'w').close()\nfrom pyloader import JsonlReader as Reader\n"
    Path(folder, f"{name}.py").write_text(code)


def plain_chunks(reader: str = "jsonl") -> None:
    Path("chunks").mkdir()
    Path("chunks/a.jsonl").write_text('{"n": 1}\n{"n": 2}\n')
    assert main(["index", "chunks", "-q"]) == 0
    manifest = Path("chunks/manifest.json")
    manifest.write_text(manifest.read_text().replace('"reader": "jsonl"', f'"reader": "{reader}"'))


COMMANDS = [["peek", "."], ["verify", "."], ["bench", ".", "--alone", "--seconds", "0.01", "-q"]]


@pytest.mark.slow
@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
@pytest.mark.parametrize("module", [False, True])
def test_a_command_in_a_strangers_directory_runs_none_of_its_code(tmp_path, monkeypatch, words, module):
    monkeypatch.chdir(tmp_path)
    plain_chunks("helper:Reader")
    for name in ("helper", "pyarrow", "zstandard", "cloudpickle", "array_record", "tqdm"):
        booby_trap("chunks", name)
    ran = run(*words, folder="chunks", module=module)
    assert ran.returncode == 2
    assert "is read by 'helper:Reader', says the manifest, which nobody registered" in ran.stderr
    assert "on the command line --reader package.module:Class" in ran.stderr
    manifest = Path("chunks/manifest.json")
    manifest.write_text(manifest.read_text().replace("helper:Reader", "jsonl"))
    assert run(*words, folder="chunks", module=module).returncode == 0
    assert not Path("chunks/RAN").exists()


def test_a_loader_runs_no_code_of_a_directory_beside_the_script(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    plain_chunks("chunks.helper:Reader")
    booby_trap("chunks", "helper")
    for make in (lambda: DataLoader(data_dir="chunks", batch_size=2), lambda: ChunkedDataset("chunks")):
        with pytest.raises(ManifestError, match=r"datareader=, or register_reader\(\) before"):
            make()
    assert not Path("RAN").exists()


@pytest.mark.slow
def test_worker_processes_do_not_look_into_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plain_chunks()
    for name in ("pyarrow", "array_record", "zstandard", "msgspec"):
        booby_trap("chunks", name)
    words = ["bench", ".", "--worker-kind", "process", "--alone", "--seconds", "0.01", "-q"]
    assert run(*words, folder="chunks").returncode == 0
    assert not Path("chunks/RAN").exists()


def test_the_three_ways_that_the_error_names_all_work(capsys, mine, monkeypatch):
    monkeypatch.setattr(registry, "_CLASSES", dict(registry._CLASSES))
    assert main(["index", "chunks", "--reader", f"{mine}:Pairs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "1 chunk, 3 samples, 14 B   (all read; no checksums)" in lines[0]
    assert lines[-2:] == [
        "next       several ranks, len() and exact steps now work: "
        'DataLoader(datareader=Pairs(), data_dir="chunks", ...)',
        f"           pyloader peek chunks --reader {mine}:Pairs",
    ]
    assert read_manifest("chunks/manifest.json").reader == f"{mine}:Pairs"

    for words in (["peek", "chunks"], ["verify", "chunks"]):
        assert main(words) == 2
        assert "--reader package.module:Class" in capsys.readouterr().err
        assert main([*words, "--reader", f"{mine}:Pairs"]) == 0

    pairs = sys.modules[mine].Pairs
    (batch,) = DataLoader(datareader=pairs(), data_dir="chunks", batch_size=4)
    assert batch["pair"] == ["one", "two", "three"]
    register_reader(f"{mine}:Pairs", pairs)
    assert next(iter(DataLoader(data_dir="chunks", batch_size=4)))["pair"] == batch["pair"]


def test_options_of_the_reader_are_kept_in_the_manifest_and_can_be_typed_without_one(capsys, mine):
    Path("chunks/a.pairs").write_text("one/two")
    typed = ["--reader", f"{mine}:Pairs", "--option", "separator=/"]
    assert main(["peek", "chunks", *typed]) == 0
    shown = capsys.readouterr().out
    assert f"from {mine} import Pairs" in shown
    assert "datareader=Pairs(separator='/'), data_dir=\"chunks\"" in shown
    assert main(["index", "chunks", *typed]) == 0
    assert "DataLoader(datareader=Pairs(separator='/'), " in capsys.readouterr().out
    assert main(["verify", "chunks", "--reader", f"{mine}:Pairs"]) == 0


@pytest.mark.parametrize(
    "words",
    [
        ["peek", "chunks", "--reader", "{}:Pairs"],
        ["index", "chunks", "--reader", "{}:Pairs"],
        ["bench", "chunks", "--reader", "{}:Pairs", "--alone", "--seconds", "0.01"],
        ["bench", "--loader", "{}:tens", "--seconds", "0.01"],
        ["split", "dump.jsonl", "out/", "--encode", "{}:Shout"],
    ],
    ids=lambda words: f"{words[0]} {next(word for word in words if word.startswith('--'))}",
)
def test_what_was_typed_is_found_in_the_working_directory_and_nothing_else_is_then(mine, words):
    Path("dump.jsonl").write_text('{"text": "a"}\n')
    path = list(sys.path)
    assert main([word.format(mine) for word in words]) == 0
    assert sys.path == path


@pytest.mark.slow
def test_a_typed_reader_works_in_worker_processes(capsys, mine):
    words = ["--worker-kind", "process", "--alone", "--seconds", "0.01", "-q"]
    assert main(["bench", "chunks", "--reader", f"{mine}:Pairs", *words]) == 0
    assert 'DataLoader(datareader=Pairs(), data_dir="chunks", batch_size=256' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("reader", "answer"),
    [
        ("jsonlines", "--reader jsonlines: no reader is called so; or write package.module:Class"),
        ("no_such_module:X", "--reader no_such_module:X cannot be imported (No module named 'no_such_module')"),
        ("..x:X", "--reader ..x:X cannot be imported"),
        (":", "--reader :: write it as package.module:name"),
        ("{}:Nothing", r"--reader {0}:Nothing cannot be imported (module '{0}' has no attribute 'Nothing')"),
        ("{}:Plain", "--reader {0}:Plain is no DataReader class"),
    ],
)
@pytest.mark.parametrize("command", ["peek", "index", "bench"])
def test_a_reader_that_is_none_is_refused_in_one_line(capsys, mine, command, reader, answer):
    assert main([command, "chunks", "--reader", reader.format(mine)]) == 2
    assert re.fullmatch(rf"pyloader {command}: error: {re.escape(answer.format(mine))}.*\n", capsys.readouterr().err)
