"""The chunks of a split are the same bytes whoever runs its tasks, and however many of them at once."""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from products import drawn

from pyloader import ChunkWriter, DataLoader
from pyloader.columns import Columns
from pyloader.dataset import Dataset
from pyloader.errors import SplitError, WorkerDiedError
from pyloader.write import split, workers
from pyloader.write.inputs import find_inputs
from pyloader.write.request import Request

ENGINES: list[dict[str, Any]] = [
    {"engine": "inline"},
    {"engine": "thread", "workers": 1},
    {"engine": "thread", "workers": 2},
    {"engine": "thread", "workers": 8},
    {"engine": "process", "workers": 2},
]
OPTIONS: list[dict[str, Any]] = [
    {},
    {"shuffle": True},
    {"num_chunks": 5},
    {"chunk_bytes": 5000},
    {"holdout": {"val": 0.2}},
    {"shuffle": True, "holdout": {"val": 0.2}, "chunk_samples": 70},
]


def make_jsonl(place: Path) -> Path:
    uneven = random.Random(1)
    lines = [json.dumps({"id": i, "text": "é" * uneven.randrange(90), "half": i / 2}) + "\n" for i in range(700)]
    (place / "dump.jsonl").write_text("".join(lines), "utf-8")
    return place / "dump.jsonl"


def make_packed(place: Path) -> Path:
    path = make_jsonl(place)
    (place / "dump.jsonl.gz").write_bytes(gzip.compress(path.read_bytes()))
    return place / "dump.jsonl.gz"


def make_csv(place: Path) -> Path:
    rows = "".join(f'{i},"a ""quoted"" word\n{i}",{i / 4 if i > 600 else ""}\n' for i in range(700))
    (place / "dump.csv").write_text("id,text,late\n" + rows)
    return place / "dump.csv"


def make_text(place: Path) -> Path:
    (place / "dump.txt").write_text("".join(f"line {i}\n" * (i % 3) for i in range(700)))
    return place / "dump.txt"


def make_parquet(place: Path) -> Path:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = arrow.table({"id": list(range(700)), "blob": [os.urandom(3) * (i % 5) for i in range(700)]})
    parquet.write_table(table, place / "dump.parquet", row_group_size=60)
    return place / "dump.parquet"


def make_arrays(place: Path) -> Path:
    np.save(place / "dump.npy", np.random.default_rng(0).normal(size=(700, 5)))
    return place / "dump.npy"


DUMPS = [make_jsonl, make_packed, make_csv, make_text, make_parquet, make_arrays]


def chunks_of(directory: Path) -> dict[str, Any]:
    """Return the bytes of all chunks, and the manifests without what names the directory."""
    found: dict[str, Any] = {}
    for path in sorted(path for path in directory.rglob("*") if path.is_file()):
        name = str(path.relative_to(directory))
        found[name] = path.read_bytes()
        if path.name == "manifest.json":
            manifest = json.loads(path.read_text())
            manifest["made_by"] |= {"command": "", "fingerprint": ""}
            found[name] = manifest
    return found


@pytest.mark.slow
@pytest.mark.parametrize("make", DUMPS, ids=lambda make: make.__name__)
def test_every_engine_writes_the_same_bytes(make: Any, tmp_path: Path) -> None:
    dump = make(tmp_path)
    for number, options in enumerate(drawn(OPTIONS, 3)):
        expected = None
        for engine in ENGINES:
            output = tmp_path / f"{number}-{engine['engine']}-{engine.get('workers')}"
            split(dump, output, **options, **engine)
            assert expected in (None, chunks_of(output)), (options, engine)
            expected = chunks_of(output)
            shutil.rmtree(output)


@pytest.mark.slow
def test_an_executor_of_others_is_an_engine(tmp_path: Path) -> None:
    dump = make_jsonl(tmp_path)
    split(dump, tmp_path / "inline", engine="inline", shuffle=True)
    with ThreadPoolExecutor(3) as pool:
        split(dump, tmp_path / "pool", engine=pool, workers=3, shuffle=True)
    assert chunks_of(tmp_path / "pool") == chunks_of(tmp_path / "inline")


@pytest.mark.slow
def test_a_dump_through_a_pipe_gives_the_chunks_of_its_file_read_from_a_pack(tmp_path: Path) -> None:
    """Both are streams: cut into pieces while they are read."""
    dump = make_jsonl(tmp_path)
    words = [sys.executable, "-m", "pyloader", "split", "-", "piped", "--from", "jsonl", "--chunk-bytes", "5kB", "-q"]
    with open(dump, "rb") as stdin:
        subprocess.run(words, stdin=stdin, cwd=tmp_path, check=True)
    split(dump, tmp_path / "whole", chunk_bytes="5kB")
    lines = [row for name in ("piped", "whole") for row in [ids(tmp_path / name)]]
    assert lines[0] == lines[1] == list(range(700))


@pytest.mark.slow
@pytest.mark.parametrize("receipts", [3, 9])
def test_a_pipe_that_was_stopped_goes_on_with_the_same_lines_and_with_no_others(receipts: int, tmp_path: Path) -> None:
    dump = make_jsonl(tmp_path).read_bytes()
    script = f"""
        import os, signal, sys
        from pyloader.cli.main import main
        from pyloader.write import job, units
        units.MIN_UNIT_BYTES = 1
        whole = job.Job.add
        def add(self, receipt):
            whole(self, receipt)
            if len(self.receipts) == {receipts} and sys.argv[1:]:
                os.kill(os.getpid(), signal.SIGKILL)
        job.Job.add = add
        sys.exit(main(["split", "-", "piped", "--from", "jsonl", "--chunk-bytes", "9kB", "--workers", "1", "-q"]))
    """
    (tmp_path / "script.py").write_text(textwrap.dedent(script))

    def piped(lines: bytes, *words: str) -> subprocess.CompletedProcess[bytes]:
        words = (sys.executable, "script.py", *words)
        return subprocess.run(words, input=lines, cwd=tmp_path, capture_output=True, check=False)

    assert piped(dump, "kill").returncode == -signal.SIGKILL
    for other in (dump.replace(b'"id": 7,', b'"id": 8,'), dump[: dump.index(b"\n") + 1]):
        refused = piped(other)
        assert refused.returncode == 2
        assert b"what comes through the pipe now is not what came then. Give that up, and begin again" in refused.stderr
    done = piped(dump)
    assert done.returncode == 0, done.stderr
    assert ids(tmp_path / "piped") == list(range(700))


def ids(directory: Path) -> list[int]:
    with DataLoader(data_dir=directory, batch_size=10, shuffle=False, num_epochs=1) as loader:
        return [int(number) for batch in loader for number in batch["id"]]


class PairsOfWords(Dataset):
    """Makes several rows of one, or none."""

    changes_rows = True

    def batch_encode(self, columns: Columns) -> Columns:
        found = [(number, part) for number in columns["id"] for part in range(int(number) % 3)]
        return {"id": np.array([number for number, _ in found]), "part": np.array([part for _, part in found])}


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"shuffle": True}, {"engine": "process", "workers": 2}], ids=str)
def test_an_encoder_may_make_several_rows_of_one_or_none_when_it_says_so(
    options: dict[str, Any], tmp_path: Path
) -> None:
    dump = make_jsonl(tmp_path)
    report = split(dump, tmp_path / "chunks", encode=PairsOfWords, **options)
    assert report.outputs[0].num_samples == sum(number % 3 for number in range(700))
    found = sorted(ids(tmp_path / "chunks"))
    assert found == sorted(number for number in range(700) for _ in range(number % 3))


class CountsItself(Dataset):
    made = 0

    def __init__(self) -> None:
        type(self).made += 1

    def batch_encode(self, columns: Columns) -> Columns:
        return {"id": np.asarray(columns["id"])}


def test_an_encoder_that_is_given_as_a_class_is_made_once_a_worker(tmp_path: Path) -> None:
    CountsItself.made = 0
    split(make_jsonl(tmp_path), tmp_path / "chunks", encode=CountsItself, engine="thread", workers=3)
    assert 1 < CountsItself.made <= 5  # each thread, and the one that looks at the first rows


@pytest.mark.slow
def test_what_is_held_out_does_not_depend_on_columns_format_and_encoder(tmp_path: Path) -> None:
    dump = make_jsonl(tmp_path)
    ways: list[dict[str, Any]] = [
        {},
        {"columns": ["id"]},
        {"output_format": "parquet"},
        {"encode": CountsItself},
        {"shuffle": True, "num_chunks": 3},
    ]
    held_out = []
    for number, way in enumerate(ways):
        split(dump, tmp_path / str(number), holdout={"val": 0.3}, **way)
        held_out.append(sorted(ids(tmp_path / str(number) / "val")))
    assert held_out == [held_out[0]] * len(ways)
    assert 150 < len(held_out[0]) < 270


def test_a_column_can_decide_what_is_held_out(tmp_path: Path) -> None:
    (tmp_path / "dump.jsonl").write_text("".join(f'{{"id": {i}, "author": {i % 40}}}\n' for i in range(800)))
    split(tmp_path / "dump.jsonl", tmp_path / "chunks", holdout={"val": 0.25}, holdout_by="author")
    authors = {number % 40 for number in ids(tmp_path / "chunks" / "val")}
    assert 3 < len(authors) < 20
    assert len(ids(tmp_path / "chunks" / "val")) == 20 * len(authors)
    with pytest.raises(SplitError, match="--holdout-by: names 'writer', and a row has id, author"):
        split(tmp_path / "dump.jsonl", tmp_path / "other", holdout={"val": 0.25}, holdout_by="writer")
    with pytest.raises(ValueError, match="give holdout as well"):
        split(tmp_path / "dump.jsonl", tmp_path / "other", holdout_by="author")


def test_a_set_that_was_held_out_by_an_earlier_rule_goes_on_with_it(tmp_path: Path) -> None:
    dump = make_jsonl(tmp_path)
    split(dump, tmp_path / "chunks", holdout={"val": 0.3})
    for name in ("train", "val"):
        path = tmp_path / "chunks" / name / "manifest.json"
        manifest = json.loads(path.read_text())
        assert manifest["made_by"].pop("holdout_rule") == 2
        path.write_text(json.dumps(manifest))
    (tmp_path / "more.jsonl").write_text(dump.read_text().replace('"id": ', '"id": 1'))
    split(tmp_path / "more.jsonl", tmp_path / "chunks", holdout={"val": 0.3}, append=True)
    manifest = json.loads((tmp_path / "chunks" / "val" / "manifest.json").read_text())
    assert manifest["made_by"]["holdout_rule"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("shuffle", [False, True])
def test_a_worker_that_is_killed_is_replaced_and_its_task_done_again(shuffle: bool, tmp_path: Path) -> None:
    dump = make_jsonl(tmp_path)
    split(dump, tmp_path / "whole", encode=CountsItself, shuffle=shuffle, chunk_bytes=500)
    split(dump, tmp_path / "killed", encode=KillsItself(tmp_path / "once"), shuffle=shuffle, chunk_bytes=500,
          engine="process", workers=2)  # fmt: skip
    assert (tmp_path / "once").exists()
    assert chunks_of(tmp_path / "killed").keys() == chunks_of(tmp_path / "whole").keys()
    for name, data in chunks_of(tmp_path / "whole").items():
        assert name.endswith("manifest.json") or chunks_of(tmp_path / "killed")[name] == data


class KillsItself(Dataset):
    """Kills its process once, in the middle of the dump."""

    def __init__(self, once: Path) -> None:
        self.once, self.parent = once, os.getpid()

    def batch_encode(self, columns: Columns) -> Columns:
        if 350 in list(columns["id"]) and not self.once.exists() and os.getpid() != self.parent:
            self.once.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return {"id": np.asarray(columns["id"])}


class KillsEach(KillsItself):
    """Kills every process that reads a certain row, as one that takes too much memory is killed."""

    def batch_encode(self, columns: Columns) -> Columns:
        if 350 in list(columns["id"]) and not self.once.exists() and os.getpid() != self.parent:
            os.kill(os.getpid(), signal.SIGKILL)
        return {"id": np.asarray(columns["id"])}


@pytest.mark.slow
def test_a_task_that_kills_each_of_its_workers_is_an_error_and_what_was_done_is_kept(
    tmp_path: Path, small_steps: Any
) -> None:
    dump = make_jsonl(tmp_path)
    small_steps()
    options: dict[str, Any] = {"chunk_bytes": 500, "encode": KillsEach(tmp_path / "healed")}
    with pytest.raises(WorkerDiedError, match=r"that was reading .*dump\.jsonl died .* it goes on"):
        split(dump, tmp_path / "chunks", engine="process", workers=2, **options)
    assert (tmp_path / "chunks" / ".split" / "receipts.jsonl").read_bytes().count(b"\n") > 3
    (tmp_path / "healed").touch()
    split(dump, tmp_path / "chunks", workers=1, **options)
    assert ids(tmp_path / "chunks") == list(range(700))


@pytest.mark.slow
def test_a_killed_driver_leaves_no_worker_and_the_same_command_goes_on(tmp_path: Path) -> None:
    dump = make_jsonl(tmp_path)
    script = f"""
        import os, signal, sys
        from pathlib import Path
        from pyloader.write import job, split
        whole = job.Job.add
        def add(self, receipt):
            whole(self, receipt)
            if len(self.receipts) == 5:
                os.kill(os.getpid(), signal.SIGKILL)
        job.Job.add = add
        if __name__ == "__main__":
            split({str(dump)!r}, {str(tmp_path / "chunks")!r}, engine="process", workers=2, shuffle=True)
    """
    path = tmp_path / "script.py"
    path.write_text(textwrap.dedent(script))
    # The pipe ends when the last process that has it has ended.
    done = subprocess.run([sys.executable, path], capture_output=True, check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / "chunks" / ".split" / "receipts.jsonl").read_bytes().count(b"\n") == 5
    split(dump, tmp_path / "chunks", shuffle=True)
    split(dump, tmp_path / "whole", shuffle=True)
    assert chunks_of(tmp_path / "chunks") == chunks_of(tmp_path / "whole")


def test_what_cannot_be_sent_to_processes_is_run_in_threads_unless_processes_were_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "pyloader")
    dump = make_jsonl(tmp_path)
    lock = threading.Lock()

    def keep(sample: dict[str, Any]) -> bool:
        return not lock.locked()

    monkeypatch.setattr(workers, "_WORTH_PROCESSES", 0)
    assert split(dump, tmp_path / "chunks", where=keep, workers=2).outputs[0].num_samples == 700
    assert "split in threads, since not all can be sent to processes" in caplog.text
    with pytest.raises(TypeError, match="cannot be pickled"):
        split(dump, tmp_path / "other", where=keep, workers=2, engine="process")


def test_json_lines_that_are_kept_as_they_are_go_through_two_threads_and_all_else_through_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "_WORTH_PROCESSES", 0)
    inputs = find_inputs(Request(inputs=make_jsonl(tmp_path), output_dir=""))

    def chosen(num_workers: int, **options: Any) -> str:
        return workers.chosen_engine(Request(inputs="dump.jsonl", output_dir="x", **options), inputs, num_workers)

    assert [chosen(number) for number in (1, 2, 3)] == ["inline", "thread", "process"]
    others: list[dict[str, Any]] = [{"output_format": "parquet"}, {"encode": CountsItself}, {"shuffle": True}]
    assert [chosen(2, **options) for options in others] == ["process"] * 3


def test_options_of_engines_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no engine 'gpu'; there are inline, thread, process, ray"):
        split("dump.jsonl", tmp_path / "chunks", engine="gpu")
    with pytest.raises(ValueError, match="workers must be at least 1"):
        split("dump.jsonl", tmp_path / "chunks", workers=0)


def test_a_chunk_writer_can_add_to_what_was_split(tmp_path: Path) -> None:
    split(make_jsonl(tmp_path), tmp_path / "chunks", columns=["id"])
    with ChunkWriter(tmp_path / "chunks", append=True) as writer:
        writer.write({"id": 700})
    assert ids(tmp_path / "chunks") == list(range(701))


@pytest.mark.slow
def test_without_cloudpickle_a_split_runs_in_threads_and_processes_say_what_to_install(tmp_path: Path) -> None:
    dump = make_jsonl(tmp_path)
    script = f"""
        import sys
        sys.modules["cloudpickle"] = None
        from pyloader.write import split, workers
        workers._WORTH_PROCESSES = 0
        split({str(dump)!r}, {str(tmp_path / "chunks")!r}, workers=3)
        split({str(dump)!r}, {str(tmp_path / "other")!r}, workers=3, engine="process")
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.strip().endswith(
        "A split in other processes needs 'cloudpickle', which is not installed: pip install cloudpickle"
    )
    assert ids(tmp_path / "chunks") == list(range(700))
