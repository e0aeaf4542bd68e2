"""A list of images or sounds: rows have the bytes of each, and its columns; a stranger's takes in no other files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from tiny_images import tiny_jpeg

from pyloader import DataLoader, PaddingDataCollator
from pyloader.cli.main import main
from pyloader.errors import SplitError
from pyloader.write import media_rows, split, units

pytest.importorskip("pyarrow")

JPEG = tiny_jpeg()
NAMES = [f"day {number // 4}/{number}.jpg" for number in range(10)]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Photos below `data`, in several sources."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(media_rows, "_FILES_OF_SOURCE", 3)
    monkeypatch.setattr(units, "MIN_UNIT_BYTES", 1)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    for number, name in enumerate(NAMES):
        path = Path("data", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(JPEG + bytes([number]))


def listed(form: str, paths: list[str], **columns: list[Any]) -> str:
    """Write a list beside the photos."""
    table = {"file": paths, **columns}
    path = Path("data", f"list.{form}")
    if form == "jsonl":
        path.write_text(
            "".join(json.dumps(dict(zip(table, row, strict=True))) + "\n" for row in zip(*table.values(), strict=True))
        )
    elif form == "csv":
        lines = [list(table), *zip(*table.values(), strict=True)]
        path.write_text("".join(",".join(f'"{value}"' for value in line) + "\n" for line in lines))
    else:
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.table(table), path)
    return str(path)


def rows(directory: str, **options: Any) -> list[dict[str, Any]]:
    with DataLoader(data_dir=directory, batch_size=64, shuffle=False, num_epochs=1, **options) as loader:
        return [
            {name: values[row] for name, values in batch.items()}
            for batch in loader
            for row in range(len(batch["image"]))
        ]


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("options", [{}, {"shuffle": True, "num_chunks": 2}], ids=["in order", "shuffled"])
def test_rows_have_the_bytes_and_the_columns_of_the_list(form: str, options: Any) -> None:
    path = listed(form, NAMES, label=list(range(10)), caption=[f"No. {n}" for n in range(10)])
    report = split(path, "chunks", path_column="file", **options)
    assert [column.name for column in report.columns] == ["image", "file", "label", "caption"]
    found = sorted(rows("chunks"), key=lambda row: row["label"])
    assert found == [
        {"image": JPEG + bytes([n]), "file": NAMES[n], "label": n, "caption": f"No. {n}"} for n in range(10)
    ]


def test_a_column_of_paths_that_is_called_as_that_of_the_bytes_is_goes_to_name() -> None:
    path = Path(listed("csv", NAMES, label=[1] * 10))
    path.write_text(path.read_text().replace('"file"', '"image"'))
    split(str(path), "chunks", path_column="image")
    assert rows("chunks")[3] == {"image": JPEG + b"\3", "name": NAMES[3], "label": 1}
    both = Path("data/both.csv")
    both.write_text("file,image\nday 0/1.jpg,x\n")
    with pytest.raises(SplitError, match=r"both\.csv: has a column 'image', or 'name', beside the paths"):
        split(str(both), "other", path_column="file")


def test_boxes_and_gaps_stay_what_they_are_over_all_rows() -> None:
    boxes = [[[0.5, 1.5, 2.5, 3.5]] * (n % 3) for n in range(10)]
    path = listed("jsonl", NAMES, boxes=boxes, score=[None] * 7 + [1, 2, 3])
    split(path, "chunks", path_column="file", chunk_bytes=100)
    import pyarrow.parquet

    kinds = {str(pyarrow.parquet.read_schema(path).field("score").type) for path in Path("chunks").glob("*.parquet")}
    assert kinds == {"int64"}
    found = rows("chunks", nulls="nan", datacollator=PaddingDataCollator())
    assert [row["boxes"].tolist()[: n % 3] for n, row in enumerate(found)] == boxes
    assert [float(row["score"]) for row in found[7:]] == [1, 2, 3]


def test_a_listed_file_that_is_missing_or_no_image_is_a_bad_row() -> None:
    Path("data", NAMES[4]).write_bytes(b"notes")
    path = listed("csv", [*NAMES, "day 9/gone.jpg"], label=list(range(11)))
    with pytest.raises(SplitError, match=r"data/day 1/4\.jpg:1: is no image: it begins with b'notes'"):
        split(path, "chunks", path_column="file")
    assert split(path, "chunks", path_column="file", max_skipped=2, quarantine="bad.jsonl").num_skipped == 2
    assert "data/day 9/gone.jpg" in Path("bad.jsonl").read_text()
    assert [row["label"] for row in rows("chunks")] == [0, 1, 2, 3, 5, 6, 7, 8, 9]


@pytest.mark.parametrize("path", ["../secret.jpg", "day 0/../../secret.jpg", "{tmp_path}/secret.jpg", "a\0b.jpg"])
def test_a_path_that_leads_out_of_the_folder_is_refused_unless_the_folder_is_named(path: str, tmp_path: Path) -> None:
    Path("secret.jpg").write_bytes(JPEG)
    listing = listed("jsonl", [NAMES[0], path.format(tmp_path=tmp_path)])
    with pytest.raises(
        SplitError, match=r"list\.jsonl, row 2: lists '.*', which is not in data/\. .*: --media-root DIR"
    ):
        split(listing, "chunks", path_column="file")


def test_paths_are_relative_to_the_folder_that_is_named_and_may_be_absolute_in_it(tmp_path: Path) -> None:
    Path("lists").mkdir()
    Path(listed("csv", [NAMES[0], f"{tmp_path}/data/{NAMES[1]}"])).rename("lists/list.csv")
    split("lists/list.csv", "chunks", path_column="file", media_root=tmp_path / "data")
    assert [row["image"][-1] for row in rows("chunks")] == [0, 1]


def test_what_is_no_list_of_paths_is_said() -> None:
    path = listed("csv", NAMES, label=list(range(10)))
    for column, complaint in (
        ("flie", "has no column 'flie'; it has file, label"),
        ("label", "has 'label', which is not"),
    ):
        with pytest.raises(SplitError, match=complaint):
            split(path, "chunks", path_column=column)
    Path("data/notes.csv").write_text("file\nnotes\n")
    with pytest.raises(SplitError, match="lists no image and no sound, by the suffixes"):
        split("data/notes.csv", "chunks", path_column="file")
    with pytest.raises(SplitError, match=r"1\.jpg: is no list of paths by its suffix"):
        split(f"data/{NAMES[1]}", "chunks", path_column="file")
    with pytest.raises(SplitError, match=r"has the columns file, and data/list\.csv has file, label"):
        split([path, "data/notes.csv"], "chunks", path_column="file")
    with pytest.raises(ValueError, match="and not csv"):
        split(path, "chunks", path_column="file", input_format="csv")
    with pytest.raises(ValueError, match="media_root is where the paths of a list lead"):
        split(path, "chunks", media_root="data")


def test_a_second_list_is_appended_and_the_same_one_is_known() -> None:
    first = listed("csv", NAMES[:6], label=list(range(6)))
    split(first, "chunks", path_column="file")
    assert split(first, "chunks", path_column="file", append=True).num_known == 1
    second = listed("parquet", NAMES[6:], label=list(range(6, 10)))
    assert split([first, second], "chunks", path_column="file", append=True).num_known == 1
    assert [row["label"] for row in rows("chunks")] == list(range(10))


def test_the_command_line_says_it_too(capsys: pytest.CaptureFixture[str]) -> None:
    path = listed("csv", NAMES, label=list(range(10)))
    assert main(["split", path, "chunks", "--path-column", "file", "--media-root", "data"]) == 0
    assert "columns   image: bytes, file: str, label: int64" in capsys.readouterr().out
    assert main(["split", path, "chunks", "--path-column", "file", "--media-root", "data"]) == 0
    assert "nothing to do" in capsys.readouterr().out
