"""The scripts that users copy do what they say."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyloader.columns import concatenate_columns
from pyloader.datareader import read_chunk
from pyloader.files import list_chunks
from pyloader.read.registry import reader_for

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    def run_script(name: str, *arguments: object) -> None:
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(SCRIPTS / name), run_name="__main__")

    return run_script


def read_all(directory: Path) -> dict[str, Any]:
    chunks = list_chunks(directory)
    reader = reader_for(chunks.path(0), manifest=chunks.manifest)
    return dict(concatenate_columns([read_chunk(reader, chunks.path(index)) for index in range(len(chunks))]))


def test_split_jsonl_keeps_every_sample(run: Any, tmp_path: Path) -> None:
    (tmp_path / "dump.jsonl").write_text("".join(f'{{"id": {i}, "text": "t{i}"}}\n' for i in range(300)))
    run("split_jsonl.py", tmp_path / "dump.jsonl", tmp_path / "chunks", "--chunk-bytes", "1kB")
    columns = read_all(tmp_path / "chunks")
    assert columns["text"] == [f"t{i}" for i in range(300)]
    assert columns["id"].tolist() == list(range(300))


def test_split_text_keeps_every_character(run: Any, tmp_path: Path) -> None:
    text = "".join(f"line {i}\n" for i in range(500))
    (tmp_path / "book.txt").write_text(text)
    run("split_text.py", tmp_path / "book.txt", tmp_path / "chunks", "--characters", "80", "--chunk-samples", "7")
    pieces = read_all(tmp_path / "chunks")["text"]
    assert "".join(pieces) == text
    assert max(map(len, pieces)) <= 80


def test_split_arrays_keeps_every_row(run: Any, tmp_path: Path) -> None:
    images = np.arange(1000 * 6, dtype=np.float32).reshape(1000, 2, 3)
    np.save(tmp_path / "x.npy", images)
    np.save(tmp_path / "y.npy", np.arange(1000, dtype=np.int8))
    columns = [f"image={tmp_path / 'x.npy'}", f"label={tmp_path / 'y.npy'}"]
    run("split_arrays.py", tmp_path / "chunks", *columns, "--chunk-samples", "300")
    found = read_all(tmp_path / "chunks")
    np.testing.assert_array_equal(found["image"], images)
    assert found["label"].dtype == np.int8


def test_split_arrays_refuses_columns_of_different_lengths(run: Any, tmp_path: Path, capsys: Any) -> None:
    np.save(tmp_path / "x.npy", np.zeros(3))
    np.save(tmp_path / "y.npy", np.zeros(4))
    with pytest.raises(SystemExit):
        run("split_arrays.py", tmp_path / "chunks", f"x={tmp_path / 'x.npy'}", f"y={tmp_path / 'y.npy'}")
    assert "different numbers of rows: {'x': 3, 'y': 4}" in capsys.readouterr().err


@pytest.mark.parametrize("has_pyarrow", [True, False])
def test_split_images_keeps_bytes_and_labels(
    run: Any, tmp_path: Path, has_pyarrow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if has_pyarrow:
        pytest.importorskip("pyarrow")
    else:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for index in range(20):
        path = tmp_path / "photos" / ("cat" if index % 3 else "dog") / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes([index, 255, 0, 10]))
    run("split_images.py", tmp_path / "photos", tmp_path / "chunks")
    labels = json.loads((tmp_path / "chunks" / "labels.json").read_text())
    columns = read_all(tmp_path / "chunks")
    for image, label, name in zip(columns["image"], columns["label"], columns["name"], strict=True):
        data = (tmp_path / "photos" / name).read_bytes()
        if has_pyarrow:
            assert image == data
        else:
            import base64

            assert base64.b64decode(image) == data
        assert labels[label] == name.split("/")[0]
    assert len(columns["image"]) == 20


@pytest.mark.parametrize("stride", [64, 63, 20])
def test_split_tokens_keeps_every_window(run: Any, tmp_path: Path, capsys: Any, stride: int) -> None:
    tokens = np.arange(10_000, dtype=np.uint16)
    tokens.tofile(tmp_path / "train.bin")
    options = ["--dtype", "uint16", "--window", "64", "--stride", str(stride), "--chunk-bytes", "2000"]
    run("split_tokens.py", tmp_path / "train.bin", tmp_path / "chunks", *options)
    windows = read_all(tmp_path / "chunks")["tokens"]
    assert len(list_chunks(tmp_path / "chunks")) > 5
    np.testing.assert_array_equal(windows, np.lib.stride_tricks.sliding_window_view(tokens, 64)[::stride])
    leftover = 10_000 - (int(windows[-1, -1]) + 1)
    assert (f"the last {leftover:,} tokens" in capsys.readouterr().out) == bool(leftover)


def test_split_tokens_refuses_what_it_cannot_do(run: Any, tmp_path: Path, capsys: Any) -> None:
    np.save(tmp_path / "a.npy", np.arange(10))
    for words, answer in (
        ([tmp_path], "is not empty"),
        ([tmp_path / "chunks", "--window", "11"], "has less than one window of 11 tokens"),
        ([tmp_path / "chunks", "--stride", "9"], "stride=9 is longer than window=4"),
    ):
        with pytest.raises(SystemExit):
            run("split_tokens.py", tmp_path / "a.npy", "--window", "4", *words)
        assert answer in capsys.readouterr().err
