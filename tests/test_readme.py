"""The README is run, and the pages that it names first: Python blocks, commands, screens, the table of errors."""

import contextlib
import json
import re
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest
from pictures import noise_jpegs, write_shard
from products import ALL
from store_server import StoreServer

from pyloader import DataLoader, DataReader, Dataset, ImageDataset, split
from pyloader.cli.main import main
from pyloader.errors import CacheError
from pyloader.testing import SlowReads, altered

GSM8K = Path(__file__).resolve().parent / "data" / "gsm8k_train.jsonl"
PROJECT = Path(__file__).resolve().parents[1]
README, PERFORMANCE, AUDIT, ERRORS_PAGE = (
    (PROJECT / name).read_text(encoding="utf-8")
    for name in ("README.md", "docs/performance.md", "docs/audit.md", "docs/errors.md")
)
BLOCKS = [
    (README[: match.start()].count("\n") + 2, match[1]) for match in re.finditer(r"```python\n(.*?)```", README, re.S)
]
FIRST_SCREEN = re.search(r"```bash\n(.*?)```", README, re.DOTALL)[1]
COMMANDS = re.findall(r"^\$ (pyloader .*)$", README, re.M)
ERRORS = dict(re.findall(r"^\| (.+) \| `(\w+Error: .+)` \|$", ERRORS_PAGE, re.M))


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A directory with a dump like gsm8k's, split as the README says."""
    rows = [{"question": f"What is {n} and {n}? " * (1 + n % 7), "answer": f"{2 * n}"} for n in range(2000)]
    (tmp_path / "gsm8k_train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.chdir(tmp_path)
    assert COMMANDS[0].startswith("pyloader split gsm8k_train.jsonl chunks/")
    assert main(shlex.split(COMMANDS[0])[1:]) == 0
    return tmp_path


@pytest.mark.slow
def test_every_python_block_runs(place):
    names = {}
    for line, block in BLOCKS:
        exec(compile("\n" * (line - 1) + block, "README.md", "exec"), names)
    exec(re.search(r"```python\n(.*?)```", AUDIT, re.DOTALL)[1], names)
    names["loader"].close()

    assert sorted(batch := names["batch"]) == ["answer", "question"], batch.keys()
    assert names["loader"].epochs_done == 5
    assert json.loads((place / "loader.json").read_text())


@pytest.mark.slow
@pytest.mark.skipif(not ALL, reason="makes environments, as CI does; run by scripts/test.sh all")
def test_the_first_screen_is_typed_as_it_says(tmp_path):
    """The demo on a file of one's own, and the script of the tests, which here only says pytest's version."""
    _, demo, tests = [line.split("#")[0].split() for line in FIRST_SCREEN.splitlines()]
    assert demo == ["scripts/demo.sh"] and "scripts/demo.sh my.jsonl" in FIRST_SCREEN
    assert tests == ["scripts/test.sh"] and "scripts/test.sh all" in FIRST_SCREEN
    (tmp_path / "my.jsonl").write_bytes(3 * GSM8K.read_bytes())
    told = subprocess.run([*demo, tmp_path / "my.jsonl"], cwd=PROJECT, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    assert "my.jsonl" in told.stdout
    told = subprocess.run([*tests, "--version"], cwd=PROJECT, capture_output=True, text=True)
    assert told.returncode == 0 and "pytest" in told.stdout + told.stderr


def test_splitting_gsm8k_looks_as_shown(tmp_path, monkeypatch, capsys):
    (tmp_path / GSM8K.name).symlink_to(GSM8K)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    shown = re.search(r"^\$ pyloader split .*\n((?:.+\n)+?)```", README, re.M)[1]
    assert main(shlex.split(COMMANDS[0])[1:]) == 0

    assert without_numbers(capsys.readouterr().out) == without_numbers(shown)


def without_numbers(text):
    return re.sub(r"\d[\d.,]*( (B|kB|MB|GB)\b)?", "0", text).split()


@pytest.mark.slow
def test_the_statistics_look_as_shown(place):
    shown = re.search(r"```\n(\d+ steps, .*?)```", PERFORMANCE, re.DOTALL)[1]
    options = {"num_workers": 1, "num_readers": 1}  # as it begins: which others help is found by trying
    loader = DataLoader(data_dir="chunks/train", batch_size=16, shuffle=True, **options)
    with altered(loader, reader=SlowReads(loader._options.run.reader)):  # so that it is what the loop waits for
        for _ in loader:
            pass

    assert without_numbers(str(loader.stats())) == without_numbers(shown)


@pytest.mark.slow
def test_the_audit_looks_as_shown(place, monkeypatch, capsys):
    """Two ranks are stopped in epoch 1; one goes on from a state saved before, and is in epoch 2."""
    monkeypatch.setenv("COLUMNS", "120")
    shown = re.search(r"^\$ (pyloader audit .*)\n((?:.+\n)+?)```", AUDIT, re.M)
    options = {"data_dir": "chunks/train", "shuffle": True, "last_batch": "drop", "num_epochs": None}
    for rank in range(2):
        with DataLoader(batch_size=128, world=(rank, 2), audit_dir="receipts", **options) as loader:
            for _ in range(10):
                next(loader)
            state = loader.state_dict()
            next(loader)
            next(loader)
    with DataLoader(batch_size=256, world=None, audit_dir="receipts", max_queue_size=99, **options) as loader:
        loader.load_state_dict(state)
        for _ in range(7):
            next(loader)
    capsys.readouterr()
    assert main(shlex.split(shown[1])[1:]) == 0

    assert without_numbers(capsys.readouterr().out) == without_numbers(shown[2])


def _next(**options):
    with DataLoader(**options) as loader:
        return next(loader)


class Problems(DataReader):
    def read_file(self, path):
        return {"text": ["a"] * 228, "label": np.zeros(227)}, 228


class Bytes(Dataset):
    def batch_encode(self, columns):
        return {"ids": [[1]] * 14}


class Ragged(Dataset):
    def batch_encode(self, columns):
        return {"ids": [list(text.encode()) for text in columns["question"]]}


def _resume_with_another_seed():
    with DataLoader(data_dir="chunks/train", shuffle=True, seed=0) as loader:
        state = loader.state_dict()
    with DataLoader(data_dir="chunks/train", shuffle=True, seed=1) as loader:
        loader.load_state_dict(state)


def _broken_download():
    Path("raw").mkdir()
    import gzip

    data = gzip.compress(Path("gsm8k_train.jsonl").read_bytes())
    Path("raw/part-3.jsonl.gz").write_bytes(data[: len(data) // 2])
    _next(data_dir="raw")


def _missing_numbers():
    Path("t.csv").write_text("id,age\n1,33\n2,\n3,41\n")
    _next(data_dir="t.csv", batch_size=3)


def _loose_quote():
    rows = ["id\ttext\tn", *(f"{number}\tplain\t1" for number in range(1000))]
    rows[10], rows[900] = '9\t"Loose quote\t1', '899\tends here"\t1'
    Path("q.tsv").write_text("\n".join(rows) + "\n")
    split("q.tsv", "q")


def _changed_chunk():
    Path("raw").mkdir()
    for number in range(4):
        Path(f"raw/c-{number}.txt").write_text("a line\n" * 100)
    with DataLoader(data_dir="raw", batch_size=50, num_workers=0) as loader:
        next(loader)
        Path("raw/c-2.txt").write_text("")
        list(loader)


def _bomb():
    import zstandard

    Path("raw").mkdir()
    Path("raw/b.jsonl.zst").write_bytes(zstandard.compress(b'{"a": 1}\n' * 20_000_000))
    _next(data_dir="raw", max_bytes="50MB")


@contextlib.contextmanager
def _store():
    """Chunks of 9 MB at s3://corpus/web; an error of the cache names it as at home."""
    with StoreServer() as server:
        for number in range(2):
            server.put(f"corpus/web/chunk-{number}.jsonl", b'{"n": 1}\n' * 1_000_000)
        try:
            yield server, {"data_dir": "s3://corpus/web", "storage_options": server.s3_options, "cache_dir": "cache"}
        except CacheError as error:
            error.path = "~/.cache/pyloader/chunks"
            raise


def _wrong_keys():
    with _store() as (server, where):
        server.add_fault("*", status=403, message="InvalidAccessKeyId", times=None)
        _next(**where)


def _small_cache():
    with _store() as (_, where):
        _next(cache_bytes="10MB", **where)


def _no_image():
    Path("shards").mkdir()
    write_shard(Path("shards/3.tar"), [*noise_jpegs(17), b"<html>", *noise_jpegs(1)])
    with DataLoader(dataset=ImageDataset("jpg", size=8), data_dir="shards", batch_size=4) as loader:
        list(loader)


def _not_here():
    with _store() as (_, where):
        _next(num_workers=0, **where)  # only the first chunk comes
        with DataLoader(offline=True, batch_size=100_000, **where) as loader:
            list(loader)


DEEDS = {
    '`DataLoader("chunks/")`': lambda: DataLoader("chunks/"),
    "`drop_last=True`": lambda: DataLoader(data_dir="chunks/train", drop_last=True),
    '`data_dir="chunks/"`': lambda: DataLoader(data_dir="chunks/"),
    "a window too wide": lambda: DataLoader(data_dir="chunks/train", shuffle=True, shuffle_window=16),
    "columns of different lengths": lambda: _next(datareader=Problems(), data_dir="chunks/train"),
    "filtered in `batch_encode`": lambda: _next(dataset=Bytes(), data_dir="chunks/train"),
    "rows of unequal length": lambda: _next(dataset=Ragged(), data_dir="chunks/train"),
    "broken download": _broken_download,
    "an image that is none": _no_image,
    "other settings on resume": _resume_with_another_seed,
    "a table with missing numbers": _missing_numbers,
    "a table with a loose quote": _loose_quote,
    "a chunk that changed under the loader": _changed_chunk,
    "a file that unpacks to far too much": _bomb,
    "keys that the store does not take": _wrong_keys,
    "a cache too small for two chunks": _small_cache,
    "`offline=True` before all is here": _not_here,
}


def test_the_table_of_errors_is_complete():
    assert list(ERRORS) == list(DEEDS)


@pytest.mark.slow
@pytest.mark.parametrize("deed", DEEDS)
def test_an_error_reads_as_the_table_says(deed, place):
    with pytest.raises(Exception) as caught:
        DEEDS[deed]()
    told = f"{type(caught.value).__name__}: {caught.value}".replace("|", "\\|")
    assert told == ERRORS.get(deed)
