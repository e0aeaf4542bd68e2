"""A receipt is worth what its files are: what a stopped split lost is done again, and nothing is left out unseen."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from killing import in_a_child

from pyloader.columns import Columns
from pyloader.dataset import Dataset
from pyloader.errors import SplitError
from pyloader.write import job, split
from pyloader.write.finishing import Finish


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_steps: Callable[..., None]) -> None:
    small_steps()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def stop(monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
    """Stop a split when all of its tasks are done, before its chunks have names."""

    def killed(self: Finish, tasks: object) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Finish, "manifests", killed)
        with pytest.raises(KeyboardInterrupt, match="The same command goes on from there"):
            split("dump.jsonl", "chunks", workers=1, **options)


def chunks_of(directory: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(Path(directory).glob("chunk-*"))}


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"chunk_bytes": 2000}, {"num_chunks": 7}, {"shuffle": True}], ids=str)
@pytest.mark.parametrize("loss", ["missing", "cut short"])
@pytest.mark.parametrize("kind", ["unit", "chunk"])
def test_files_that_a_stopped_split_lost_are_made_again(
    options: dict[str, Any], loss: str, kind: str, dump: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split("dump.jsonl", "whole", **options)
    stop(monkeypatch, **options)
    found = sorted(Path("chunks/.split/rows-made").glob(f"{kind}-*"))
    if not found:
        pytest.skip("these chunks are cut while they are read")
    path = found[len(found) // 2]
    path.unlink() if loss == "missing" else path.write_bytes(path.read_bytes()[:-1])
    report = split("dump.jsonl", "chunks", **options)
    assert report.outputs[0].num_samples == 400
    assert chunks_of("chunks") == chunks_of("whole")


class GivesOtherNumbers(Dataset):
    """As an encoder with randomness of its own: each call gives other numbers."""

    calls = 0

    def batch_encode(self, columns: Columns) -> Columns:
        type(self).calls += 1
        return {"id": np.asarray(columns["id"]) + 1000 * type(self).calls}


@pytest.mark.slow
def test_an_encoder_that_gives_other_rows_the_second_time_is_told(dump: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop(monkeypatch, encode=GivesOtherNumbers, shuffle=True)
    sorted(Path("chunks/.split/rows-made").glob("unit-*"))[3].unlink()
    with pytest.raises(SplitError, match="gave other rows the second time"):
        split("dump.jsonl", "chunks", encode=GivesOtherNumbers, shuffle=True)


def test_bad_rows_are_counted_over_all_runs_of_a_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [b'{"id": %d}' % number for number in range(400)]
    for number in (5, 90, 180, 270, 350):
        lines[number] = b"bad"
    Path("dump.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    begun = 0
    whole = job.Job.add

    def stops(self: job.Job, receipt: Any) -> None:
        nonlocal begun
        whole(self, receipt)
        begun += 1
        if begun == 7:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(job.Job, "add", stops)
        with pytest.raises(KeyboardInterrupt):
            split("dump.jsonl", "chunks", workers=1, max_skipped=4, chunk_bytes=500)
    with pytest.raises(SplitError, match=r"dump\.jsonl:351: is not JSON.*--max-skipped 40"):
        split("dump.jsonl", "chunks", max_skipped=4, chunk_bytes=500)
    assert split("dump.jsonl", "chunks", max_skipped=5, chunk_bytes=500).num_skipped == 5


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_a_pack_that_ends_early_leaves_nothing_behind_whoever_is_at_work(workers: int, dump: Path) -> None:
    packed = gzip.compress(dump.read_bytes() * 20, mtime=0)
    Path("cut.jsonl.gz").write_bytes(packed[: len(packed) * 9 // 10])
    with pytest.raises(SplitError, match="ends early"):
        split("cut.jsonl.gz", "chunks", workers=workers, engine="thread", chunk_bytes=2000)
    assert not list(Path("chunks").rglob("*"))


def test_a_value_that_no_array_holds_is_named_with_its_line_wherever_it_stands(dump: Path) -> None:
    lines = dump.read_bytes().splitlines()
    (Path("numbers.jsonl")).write_bytes(b"".join(b'{"id": %d}\n' % number for number in range(len(lines))))
    text = Path("numbers.jsonl").read_bytes().replace(b'{"id": 333}', b'{"id": null}')
    Path("numbers.jsonl").write_bytes(text)
    with pytest.raises(SplitError, match=r"numbers\.jsonl:334"):
        split("numbers.jsonl", "chunks", output_format="columns")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["..", ".", "../job.json", "/etc/passwd", ".hidden", "job.json"])
def test_a_receipt_from_a_stranger_names_no_other_file(name: str, dump: Path) -> None:
    in_a_child(lambda: split("dump.jsonl", "chunks", num_chunks=7, workers=1), kill_at=150)
    path = Path("chunks/.split/receipts.jsonl")
    first, *rest = path.read_bytes().splitlines()
    receipt = {**json.loads(first), "file": name, "file_bytes": 0}
    path.write_bytes(b"\n".join([json.dumps(receipt).encode(), *rest]) + b"\n")
    with pytest.raises(SplitError, match=r"receipts\.jsonl: names .*--discard-stopped"):
        split("dump.jsonl", "chunks", num_chunks=7)


@pytest.mark.parametrize("options", [{"chunk_bytes": 2000}, {"shuffle": True, "engine": "thread"}], ids=str)
def test_every_chunk_is_synced_before_its_receipt_is_written(
    options: dict[str, Any], dump: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, synced = Path("chunks/.split/receipts.jsonl"), []
    whole = job.sync_in_place

    def noted(path: Path) -> None:
        assert not journal.exists() or path.name not in journal.read_text()
        synced.append(path)
        whole(path)

    monkeypatch.setattr(job, "sync_in_place", noted)
    report = split("dump.jsonl", "chunks", workers=2, **options)
    assert len(set(synced)) == len(report.outputs[0].counts)
