"""Two writers in one directory at the same time: every sample is there once, and the second is told of the first."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import pytest
from killing import CHANGES

from pyloader import ChunkWriter, DataLoader
from pyloader.cli.main import main
from pyloader.errors import SplitError
from pyloader.write import split, tasks

NUM_ROWS = 3000


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_steps: Any) -> None:
    small_steps(block=20_000, pending=40_000, segment=30_000)
    monkeypatch.chdir(tmp_path)
    Path("big.jsonl").write_text(
        "".join(json.dumps({"id": row, "text": "x" * (row % 40)}) + "\n" for row in range(3000))
    )


def pyloader(*words: str) -> Callable[[], int]:
    return lambda: main([*words, "-q"])


def write() -> int:
    with ChunkWriter("out", chunk_samples=200) as writer:
        for row in range(NUM_ROWS):
            writer.write({"id": row, "text": ""})
    return 0


def started(
    work: Callable[[], int], *, after: int | None = None, tell: int | None = None, at: int = 0
) -> tuple[int, int]:
    """Begin `work` in a forked process; return its id and where its exit code and complaint come out.

    Args:
      work: What to do.
      after: Wait until something can be read here.
      tell: Where to write a byte before the `at`-th change to the file system.
      at: That number.
    """
    read_end, write_end = os.pipe()
    child = os.fork()
    if child:
        os.close(write_end)
        return child, read_end
    num_changes = 0

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal num_changes
        if event in CHANGES:
            if num_changes == at and tell is not None:
                os.write(tell, b".")
            num_changes += 1

    code, complaint = 1, io.StringIO()
    try:
        if after is not None:
            os.read(after, 1)
        sys.addaudithook(count)
        with redirect_stderr(complaint):
            code = work()
    except SplitError as exc:
        complaint.write(str(exc))
    finally:
        os.write(write_end, json.dumps([code, complaint.getvalue()]).encode())
        os._exit(0)


def outcome(child: int, read_end: int) -> tuple[int, str]:
    os.waitpid(child, 0)
    with open(read_end, "rb") as answer:
        code, complaint = json.loads(answer.read())
    return code, complaint


SPLIT = pyloader("split", "big.jsonl", "out", "--chunk-samples", "200")
PAIRS: dict[str, tuple[Callable[[], int], Callable[[], int]]] = {
    "the same command": (SPLIT, SPLIT),
    "the second starts over": (SPLIT, pyloader("split", "big.jsonl", "out", "--chunk-samples", "200", "--overwrite")),
    "both shuffle and start over": (pyloader("split", "big.jsonl", "out", "--shuffle", "--overwrite"),) * 2,
    "two ChunkWriters": (write, write),
    "split and index": (SPLIT, pyloader("index", "out", "--overwrite")),
}


@pytest.mark.slow
@pytest.mark.parametrize("at", [0, 40])
@pytest.mark.parametrize(("first", "second"), PAIRS.values(), ids=PAIRS)
def test_whenever_the_second_one_comes_every_sample_is_there_once(
    first: Callable[[], int], second: Callable[[], int], at: int
) -> None:
    wait_here, tell_here = os.pipe()
    one = started(first, tell=tell_here, at=at)
    os.close(tell_here)
    two = started(second, after=wait_here)
    os.close(wait_here)
    outcomes = [outcome(*one), outcome(*two)]
    refused = [complaint for code, complaint in outcomes if code != 0]
    assert len(refused) < 2, refused
    for complaint in refused:
        assert any(
            known in complaint
            for known in (
                "out/ is being written by process",
                "out/ is being written by another process",  # which has not written its number down yet
                "of another dump",
                "holds no chunk files",
                "does not exist",
            )
        ), complaint
    with DataLoader(data_dir="out", batch_size=100, num_workers=0) as loader:
        ids = sorted(int(number) for batch in loader for number in batch["id"])
    assert ids == list(range(NUM_ROWS))
    assert main(["verify", "out", "-q"]) == 0
    assert {path.name for path in Path("out").glob(".*")} <= {".inputs.jsonl"}


def test_a_writer_of_one_output_and_a_split_above_it_do_not_meet() -> None:
    with ChunkWriter("out/train") as writer:
        writer.write({"id": 1})
        with pytest.raises(SplitError, match=r"out/train/ is being written by this very process"):
            split("big.jsonl", "out", holdout={"val": 0.1}, overwrite=True)
    with DataLoader(data_dir="out/train", batch_size=1) as loader:
        assert len(loader) == 1


def test_a_chunk_writer_that_was_dropped_keeps_nobody_from_the_directory() -> None:
    writer = ChunkWriter("out", chunk_samples=1)
    writer.write_columns({"id": [1, 2, 3]})
    with pytest.raises(SplitError, match="Close the ChunkWriter that is open there first"):
        ChunkWriter("out")
    del writer
    with ChunkWriter("out") as writer:
        writer.write({"id": 1})
    assert [path.name for path in sorted(Path("out").iterdir())] == ["chunk-00000.jsonl.zst", "manifest.json"]


def test_chunks_that_hold_another_number_of_samples_than_was_taken_get_no_manifest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = tasks.write_chunk

    def loses_one(path: Path, parts: Any, **options: Any) -> Any:
        is_third = "000003" in path.name
        first, *others = parts
        return whole(path, [first.slice(0, len(first) - is_third), *others], **options)

    monkeypatch.setattr(tasks, "write_chunk", loses_one)
    with pytest.raises(SplitError, match=r"the chunks hold 2,999 samples, and 3,000 were taken"):
        split("big.jsonl", "out")
    assert not Path("out").exists()


def test_chunks_are_not_counted_while_somebody_writes(capsys: pytest.CaptureFixture[str]) -> None:
    write()
    Path("out/manifest.json").unlink()
    Path("out/chunk-00000.jsonl.zst").rename("moved.jsonl.zst")
    for path in Path("out").iterdir():
        path.unlink()
    with ChunkWriter("out") as writer:
        writer.write({"id": 1})
        Path("moved.jsonl.zst").rename("out/part.jsonl.zst")
        assert main(["index", "out"]) == 2
        assert "out/ is being written by this very process" in capsys.readouterr().err
        assert main(["index", "out", "--dry-run"]) == 0  # it writes nothing
        Path("out/part.jsonl.zst").unlink()
