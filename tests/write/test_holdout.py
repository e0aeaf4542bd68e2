"""Which samples are held out: by what they hold, whatever else changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chunk_lines import lines_of
from tiny_images import tiny_png

from pyloader.columns import Columns
from pyloader.dataset import Dataset
from pyloader.write import split


@pytest.mark.slow
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


class Tokens(Dataset):
    """Texts as bytes, padded to one length."""

    def batch_encode(self, columns: Columns) -> Columns:
        texts = [np.frombuffer(text.encode(), np.uint8) for text in columns["text"]]
        return {"id": columns["id"], "tokens": np.array([np.pad(text, (0, 120 - len(text))) for text in texts])}


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"shuffle": True}], ids=str)
def test_no_validation_sample_is_in_the_training_set_when_texts_become_tokens(
    options: Any, dump: Path, tmp_path: Path, samples: Any, values: Any
) -> None:
    lines = dump.read_bytes()
    dump.write_bytes(lines + lines[: lines.rindex(b"\n", 0, len(lines) // 2) + 1])  # half of the samples twice
    holdout = {"val": 0.3}
    split(dump, tmp_path / "texts", holdout=holdout)
    split(dump, tmp_path / "tokens", holdout=holdout, encode=Tokens(), **options)
    train, val = (values(tmp_path / "tokens" / name, "id") for name in ("train", "val"))
    assert not set(train) & set(val)
    assert sorted(val) == sorted(values(tmp_path / "texts/val", "id"))
    assert {*train, *val} == {sample["id"] for sample in samples}


def write_text(rows: list[int], path: Path) -> Any:
    path.with_suffix(".txt").write_text("".join(f"row {row}\n" for row in rows))
    return path.with_suffix(".txt")


def write_csv(rows: list[int], path: Path) -> Any:
    path.with_suffix(".csv").write_text("id,name\n" + "".join(f"{row},n{row}\n" for row in rows))
    return path.with_suffix(".csv")


def write_parquet(rows: list[int], path: Path) -> Any:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table({"id": rows, "blob": [bytes([row % 256]) for row in rows]}), path)
    return path.rename(path.with_suffix(".parquet"))


def write_arrays(rows: list[int], path: Path) -> Any:
    np.save(path.with_suffix(".npy"), np.array(rows)[:, None] * [1, 2, 3])
    return path.with_suffix(".npy")


def write_tokens(rows: list[int], path: Path) -> Any:
    (np.array(rows)[:, None] * [1, 2, 3]).astype(np.uint16).tofile(path.with_suffix(".bin"))
    return path.with_suffix(".bin")


def write_images(rows: list[int], path: Path) -> Any:
    pytest.importorskip("pyarrow")
    for place, row in enumerate(rows):
        name = path / f"{row % 3}" / f"{place:03}.png"
        name.parent.mkdir(parents=True, exist_ok=True)
        name.write_bytes(tiny_png(b"%d" % row))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("write", [write_text, write_csv, write_parquet, write_arrays, write_tokens, write_images])
def test_of_every_kind_of_dump_the_same_samples_are_held_out_when_it_grows(
    write: Any, tmp_path: Path, read_all: Any
) -> None:
    before, after = list(range(100)), [*range(500, 600), *range(99, -1, -1), 7, 8]
    held_out = []
    for name, rows in (("before", before), ("after", after)):
        window = 3 if write is write_tokens else None
        report = split(
            write(rows, tmp_path / name), tmp_path / f"{name}-chunks", holdout={"val": 0.4}, window=window,
            engine="inline",
        )  # fmt: skip
        assert sum(output.num_samples for output in report.outputs) == len(rows)
        columns = read_all(tmp_path / f"{name}-chunks/val")
        first = next(column for column in ("id", "data", "tokens", "image", "text") if column in columns[0])
        held_out.append({repr(value) for of_chunk in columns for value in of_chunk[first]})
        trained = {repr(value) for of_chunk in read_all(tmp_path / f"{name}-chunks/train") for value in of_chunk[first]}
        assert not trained & held_out[-1]
    assert 20 < len(held_out[0]) < 60
    assert held_out[0] < held_out[1]
    assert len(held_out[1]) < 120
