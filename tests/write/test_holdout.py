"""Which samples are held out: by what they hold, whatever else changes."""

from __future__ import annotations

from pathlib import Path

from chunk_lines import lines_of

from pyloader.write import split


def test_the_holdout_stays_when_the_dump_grows_and_changes_its_order(dump: Path, tmp_path: Path) -> None:
    lines = dump.read_bytes().splitlines(keepends=True)
    split(dump, tmp_path / "before", holdout={"val": 0.1, "test": 0.1})
    more = [b'{"id": %d, "text": "more", "late": 1}\n' % index for index in range(1000, 1300)]
    (tmp_path / "grown.jsonl").write_bytes(b"".join([*more, *lines[::-1]]))
    split(tmp_path / "grown.jsonl", tmp_path / "after", holdout={"val": 0.1, "test": 0.1}, shuffle=True)
    for output in ("train", "val", "test"):
        before, after = (set(lines_of(tmp_path / when / output)) for when in ("before", "after"))
        assert before == after & set(lines)
    share = len(lines_of(tmp_path / "after" / "val")) / 700
    assert 0.06 < share < 0.14


def test_duplicates_go_to_the_same_side(dump: Path, tmp_path: Path) -> None:
    (tmp_path / "twice.jsonl").write_bytes(dump.read_bytes() * 2)
    split(tmp_path / "twice.jsonl", tmp_path / "chunks", holdout={"val": 0.5}, shuffle=True)
    train, val = (set(lines_of(tmp_path / "chunks" / name)) for name in ("train", "val"))
    assert not train & val


def test_a_larger_holdout_holds_the_smaller_one(dump: Path, tmp_path: Path) -> None:
    for share in (0.1, 0.3):
        split(dump, tmp_path / f"{share}", holdout={"val": share})
    small, large = (set(lines_of(tmp_path / f"{share}" / "val")) for share in (0.1, 0.3))
    assert small < large
