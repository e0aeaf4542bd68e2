"""What cannot be split is refused, with the place and what to do, and nothing looks complete."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chunk_lines import PACKERS

from pyloader.errors import SplitError
from pyloader.write import split


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b'{"a": 1}\n{"a": 2\n{"a": 3}\n', r"dump\.jsonl:2: is not JSON"),
        (b'{"a": 1}\n[1]\n', r"dump\.jsonl:2: is a list, not an object with keys"),
        (b'{"a": 1}\n{}\n', r"dump\.jsonl:2: is an object without keys"),
        (b'{"a": 1}\n{"a": 2}{"a": 3}\n', r"dump\.jsonl:2: is not JSON"),
        (b'{"a":\n1}\n', r"dump\.jsonl:1: is not JSON"),
        (b'{"a": 1, "b": 2}\n{"a": 2}\n', r"dump\.jsonl:2: lacks 'b', .* --fill b=nan, .* --columns a"),
        (b'{"a": 2}\n{"a": 1, "b": 2}\n', r"dump\.jsonl:2: has 'b', .* lack\. .* --fill b=null, .* --columns a"),
        (
            b'{"a": "\xff"}\n',
            r"dump\.jsonl:1: is not UTF-8: byte 0xff at place 8 of the line\. Convert it: iconv -f LATIN1",
        ),
        (b'{"a": 9223372036854775808}\n', r"dump\.jsonl:1: has 9223372036854775808 in 'a', which int64 cannot hold"),
        (b"", r"dump\.jsonl: holds no samples"),
        (b"\n \n", r"dump\.jsonl: holds no samples"),
    ],
)
def test_a_bad_dump_is_an_error_that_names_the_line(content: bytes, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "dump.jsonl").write_bytes(content)
    with pytest.raises(SplitError, match=complaint):
        split(tmp_path / "dump.jsonl", tmp_path / "chunks")
    assert not list((tmp_path / "chunks").glob("[!.]*"))


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b'{"a": 1}{"a": 2}', r":201: is not JSON"),
        (b'{"a":\n1}', r":201: is not JSON"),
        (b'{"b": 1}', r":201: lacks 'a'"),
        (b'{"a": "\xff"}', r":201: is not UTF-8: byte 0xff at place 8"),
    ],
)
def test_a_bad_line_is_found_wherever_it_stands(line: bytes, complaint: str, tmp_path: Path, small_steps: Any) -> None:
    small_steps(block=100)
    (tmp_path / "dump.jsonl").write_bytes(b'{"a": 0}\n' * 200 + line + b'\n{"a": 3}\n')
    with pytest.raises(SplitError, match=complaint):
        split(tmp_path / "dump.jsonl", tmp_path / "chunks")


@pytest.mark.slow
@pytest.mark.parametrize("packing", [".gz", ".zst", ".xz", ".bz2"])
def test_a_truncated_dump_is_an_error_and_nothing_looks_complete(
    packing: str, dump: Path, tmp_path: Path, small_steps: Any
) -> None:
    small_steps(block=100_000, pending=400_000)
    packed = tmp_path / f"dump.jsonl{packing}"
    packed.write_bytes(PACKERS[packing](dump.read_bytes() * 60)[:-40])
    with pytest.raises(SplitError, match=rf"dump\.jsonl\{packing}: ends early, inside line [\d,]+\. Fetch it again"):
        split(packed, tmp_path / "chunks", chunk_bytes=200_000)
    assert not list((tmp_path / "chunks").rglob("manifest.json"))
    assert not list((tmp_path / "chunks").rglob("*.writing"))


def test_a_truncated_array_is_an_error_that_counts_its_rows(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((100, 10)))
    (tmp_path / "x.npy").write_bytes((tmp_path / "x.npy").read_bytes()[:-100])
    with pytest.raises(SplitError, match=r"x\.npy: ends early: 98 of 100 rows are there"):
        split(tmp_path / "x.npy", tmp_path / "chunks")


def test_arrays_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((10, 2)))
    np.save(tmp_path / "y.npy", np.zeros(9))
    with pytest.raises(SplitError, match="the column 'x' has 10 rows and 'y' has 9"):
        split({"x": tmp_path / "x.npy", "y": tmp_path / "y.npy"}, tmp_path / "chunks")
    with pytest.raises(SplitError, match=r"y\.npy: holds float64 rows of shape \[\], but .*x\.npy holds .* \[2\]"):
        split([tmp_path / "x.npy", tmp_path / "y.npy"], tmp_path / "chunks")
    np.save(tmp_path / "o.npy", np.array([{}, {}], object), allow_pickle=True)
    with pytest.raises(SplitError, match=r"o\.npy: holds Python objects"):
        split(tmp_path / "o.npy", tmp_path / "chunks")


def test_text_is_refused_where_only_arrays_fit(dump: Path, tmp_path: Path) -> None:
    with pytest.raises(SplitError, match=r"dump\.jsonl:1: has 'text' as str, not numbers; .*--to jsonl\.zst"):
        split(dump, tmp_path / "chunks", output_format="columns")


def test_a_directory_with_files_of_others_is_refused_even_with_overwrite(dump: Path, tmp_path: Path) -> None:
    (tmp_path / "chunks").mkdir()
    (tmp_path / "chunks" / "mine.jsonl").write_text("{}")
    with pytest.raises(SplitError, match=r"holds mine\.jsonl, which no manifest lists"):
        split(dump, tmp_path / "chunks", overwrite=True)
    assert (tmp_path / "chunks" / "mine.jsonl").read_text() == "{}"


def test_too_little_free_space_is_refused_before_anything_is_read(
    dump: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000})())
    with pytest.raises(SplitError, match=r"has 1\.0 kB free, and putting the rows aside takes about [\d.]+ kB"):
        split(dump, tmp_path / "chunks", shuffle=True)
    assert not (tmp_path / "chunks").exists()
