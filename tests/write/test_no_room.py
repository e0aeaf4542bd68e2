"""A full disk, or a limit on the size of files, is an error that names the file and what to do about it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from pyloader import ChunkWriter
from pyloader.errors import SplitError, WriteError
from pyloader.files import atomic, list_chunks
from pyloader.indexed import converter

FULL = OSError(errno.ENOSPC, "No space left on device")


def full(path: Path) -> None:
    raise FULL


def limited(script: str, place: Path) -> subprocess.CompletedProcess[str]:
    """Run a script in a process whose files may have 30,000 bytes."""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))\n"
    words = [sys.executable, "-c", limit + textwrap.dedent(script)]
    return subprocess.run(words, cwd=place, capture_output=True, text=True, check=False)


COMMANDS = {
    "a chunk of lines": "split dump.jsonl out --to jsonl --num-chunks 1",
    "a chunk of columns": "split x.npy out --num-chunks 1",
    "rows put aside": "split dump.txt out --num-chunks 4",
}


@pytest.mark.slow
@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_a_limit_on_the_size_of_files_is_named_with_the_file_and_the_way_on(words: str, tmp_path: Path) -> None:
    (tmp_path / "dump.jsonl").write_text('{"a": "some text to fill the line"}\n' * 2000)
    (tmp_path / "dump.txt").write_text("\n".join(f"a line of text {number:060d}" for number in range(8000)))
    np.save(tmp_path / "x.npy", np.zeros((2000, 8)))
    script = f"import sys; from pyloader.cli.main import main; sys.exit(main({words.split()!r}))"
    done = limited(script, tmp_path)
    assert done.returncode == 2
    assert "out/.split" in done.stderr
    remedy = "Raise the limit on the size of files (ulimit -f), then give the same command again: it goes on from here"
    assert f"could not be written: file too large. {remedy}" in done.stderr
    again = [sys.executable, "-m", "pyloader", *words.split(), "-q"]
    assert subprocess.run(again, cwd=tmp_path, check=False).returncode == 0
    counts = list_chunks(tmp_path / "out").counts
    assert counts is not None
    assert counts.sum() in (2000, 8000)


@pytest.mark.slow
def test_a_manifest_for_which_there_is_no_room_is_named(tmp_path: Path) -> None:
    for number in range(400):
        (tmp_path / f"part-{number:03d}.jsonl").write_text('{"a": 1}\n')
    script = "import sys; from pyloader.cli.main import main; sys.exit(main(['index', '.']))"
    done = limited(script, tmp_path)
    assert done.returncode == 2
    assert "manifest.json: could not be written: file too large. Raise the limit" in done.stderr
    assert not list(tmp_path.glob("*manifest*")) + list(tmp_path.glob(".*"))


def test_a_chunk_writer_says_that_nothing_of_it_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ChunkWriter(tmp_path / "out") as writer:
        writer.write({"a": 1})
    monkeypatch.setattr(atomic, "sync", full)
    expected = r"could not be written: no space left on device\. Make room, then write all samples again: none of this"
    with pytest.raises(SplitError, match=expected), ChunkWriter(tmp_path / "out", append=True) as writer:
        writer.write({"a": 2})
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["chunk-00000.jsonl.zst", "manifest.json"]
    counts = list_chunks(tmp_path / "out").counts
    assert counts is not None
    assert counts.tolist() == [1]


@pytest.mark.slow
def test_a_limit_that_packed_lines_meet_is_named_and_not_what_the_compressor_misses(tmp_path: Path) -> None:
    script = """
        import random
        from pyloader import ChunkWriter
        with ChunkWriter("out") as writer:
            writer.write_columns({"a": [random.Random(0).randbytes(1_500_000).hex()]})
            writer.write_columns({"a": ["one more"]})
    """
    done = limited(script, tmp_path)
    assert "out/.split/chunks-/chunk-00000.jsonl.zst: could not be written: file too large. Raise" in done.stderr


def test_what_is_no_split_does_not_speak_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic, "sync", full)
    with pytest.raises(WriteError) as caught:
        converter(np.zeros((3, 2)), tmp_path / "ar", progress=False)
    assert str(caught.value) == f"{tmp_path}/ar: could not be written: no space left on device. Make room"
    assert not list(tmp_path.iterdir())


def test_a_converter_replaces_only_what_a_converter_wrote(tmp_path: Path) -> None:
    converter(np.zeros((3, 2)), tmp_path / "ar", progress=False)
    (tmp_path / "ar" / "thesis.txt").write_text("keep")
    with pytest.raises(ValueError, match=r"ar holds thesis\.txt, which converter did not write\. Name another place"):
        converter(np.zeros((3, 2)), tmp_path / "ar", replace=True, progress=False)
    assert (tmp_path / "ar" / "thesis.txt").read_text() == "keep"
    os.unlink(tmp_path / "ar" / "thesis.txt")
    converter(np.zeros((5, 2)), tmp_path / "ar", replace=True, progress=False)
