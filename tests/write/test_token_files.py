"""Files of tokens are split into windows: each once, as they lie in the file, whoever does it."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from killing import in_a_child
from products import drawn
from products import stride as stride_of

from pyloader import DataLoader, Dataset, TokenReader
from pyloader.cli.main import main
from pyloader.columns import Columns
from pyloader.errors import SplitError
from pyloader.files import list_chunks, read_manifest
from pyloader.write import split, token_files, units

TOKENS = np.random.default_rng(0).integers(0, 50_000, 10_000).astype(np.uint16)

Found = Callable[[Path, str], list[Any]]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of tokens, cut into several blocks and units."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(token_files, "BLOCK_BYTES", 1500)
    monkeypatch.setattr(units, "MIN_UNIT_BYTES", 1)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    TOKENS.tofile("train.bin")


def windows(window: int, stride: int, tokens: np.ndarray = TOKENS) -> np.ndarray:
    return np.lib.stride_tricks.sliding_window_view(tokens, window)[::stride]


def in_some_order(rows: Any) -> list[tuple[int, ...]]:
    return sorted(map(tuple, np.asarray(rows).tolist()))


@pytest.mark.parametrize(
    ("stride", "sizes"),
    drawn(product([64, 63, 20], [{}, {"chunk_bytes": 3000}, {"num_chunks": 7}, {"chunk_samples": 13}]), 5),
    ids=str,
)
def test_each_window_is_there_once_in_its_order(stride: int, sizes: Any, tmp_path: Path, values: Found) -> None:
    report = split("train.bin", "chunks", window=64, stride=stride, **sizes)
    expected = windows(64, stride)
    np.testing.assert_array_equal(values(tmp_path / "chunks", "tokens"), expected)
    assert len(list_chunks("chunks")) > 5
    assert report.leftover_tokens == 10_000 - (len(expected) - 1) * stride - 64


def test_where_windows_overlap_a_chunk_holds_each_token_once_and_stays_one_text(tmp_path: Path) -> None:
    split("train.bin", "chunks", window=64, stride=16, num_chunks=5)
    chunks = list_chunks("chunks")
    assert chunks.manifest is not None
    assert chunks.manifest.reader_options == {"window": 64, "stride": 16}
    stored = [np.load(chunks.path(index)) for index in range(5)]
    np.testing.assert_array_equal(np.concatenate([stored[0], *(tokens[48:] for tokens in stored[1:])]), TOKENS)
    rows = sum(len(TokenReader(window=32).read_file(chunks.path(index))[0]["tokens"]) for index in range(5))
    assert rows > 300  # with windows of another length, too


@pytest.mark.parametrize(
    "options",
    [
        {"shuffle": True},
        {"shuffle": True, "num_chunks": 4},
        {"holdout": {"val": 0.3}},
        {"where": "test_support_tokens:is_even"},
        {"output_format": "columns"},
        {"output_format": "parquet"},
    ],
    ids=str,
)
def test_windows_that_change_their_places_are_whole_windows(
    options: Any, tmp_path: Path, values: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("test_support_tokens.py").write_text("def is_even(sample): return sample['tokens'][0] % 2 == 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    report = split("train.bin", "chunks", window=64, stride=40, **options)
    expected = windows(64, 40)
    expected = expected[expected[:, 0] % 2 == 0] if "where" in options else expected
    found = [row for output in report.outputs for row in values(Path(output.directory), "tokens")]
    assert in_some_order(found) == in_some_order(expected)
    assert len(report.outputs) == 1 or all(output.num_samples for output in report.outputs)


def test_a_loader_needs_no_option_for_what_was_split() -> None:
    split("train.bin", "chunks", window=65, stride=64)
    with DataLoader(data_dir="chunks", batch_size=10, shuffle=False, num_epochs=1) as loader:
        batches = list(loader)
    assert batches[0]["tokens"].dtype == np.uint16
    np.testing.assert_array_equal(np.concatenate([batch["tokens"] for batch in batches]), windows(65, 64))


def test_npy_files_of_one_dimension_are_tokens_where_a_window_is_named(tmp_path: Path, values: Found) -> None:
    np.save("a.npy", TOKENS[:500].astype(np.int64))
    np.save("b.npy", TOKENS[500:900].astype(">i8"))
    report = split(["a.npy", "b.npy"], "chunks", window=100, stride=90, dtype="uint16", chunk_bytes="1MiB")
    expected = np.concatenate([windows(100, 90, TOKENS[:500]), windows(100, 90, TOKENS[500:900])])
    np.testing.assert_array_equal(values(tmp_path / "chunks", "tokens"), expected)
    assert report.columns[0].dtype == "<u2"
    assert report.leftover_tokens == 40 + 30
    split(["a.npy"], "rows")  # and rows of one number each where none is
    assert read_manifest("rows/manifest.json").num_samples == 500


def test_tokens_can_be_added(tmp_path: Path, values: Found) -> None:
    TOKENS[:1000].tofile("more.bin")
    for name in ("train.bin", "more.bin"):
        split(name, "chunks", window=64, stride=63, append=True)
    expected = np.concatenate([windows(64, 63), windows(64, 63, TOKENS[:1000])])
    np.testing.assert_array_equal(values(tmp_path / "chunks", "tokens"), expected)
    with pytest.raises(SplitError, match=r"what is new is read with {'window': 32, 'stride': 32}, not with"):
        TOKENS[:500].tofile("other.bin")
        split("other.bin", "chunks", window=32, append=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", drawn([{}, {"shuffle": True, "holdout": {"val": 0.2}}, {"unique": "tokens"}], 1), ids=str
)
def test_every_engine_writes_the_same_bytes(options: Any, tmp_path: Path, tree: Any) -> None:
    expected = None
    for engine in ({"engine": "inline"}, {"engine": "thread", "workers": 3}, {"engine": "process", "workers": 2}):
        split("train.bin", "chunks", window=64, stride=50, overwrite=True, **options, **engine)
        assert expected in (None, tree(tmp_path / "chunks"))
        expected = tree(tmp_path / "chunks")


@pytest.mark.slow
@pytest.mark.parametrize("options", drawn([{}, {"shuffle": True, "num_chunks": 5}], 1), ids=str)
def test_after_a_kill_at_any_moment_the_same_command_ends_with_the_same_bytes(
    options: Any, tmp_path: Path, tree: Any
) -> None:
    def work(place: str, **more: Any) -> None:
        split("train.bin", place, window=64, stride=50, workers=1, **options, **more)

    def chunks(place: str) -> dict[str, bytes]:
        return {name: data for name, data in tree(tmp_path / place).items() if name != "manifest.json"}

    work("whole")
    total = in_a_child(lambda: work("counted"), kill_at=10**9)
    for moment in range(3, total, stride_of(total // 5)):
        assert in_a_child(lambda at=moment: work(f"killed-{at}"), kill_at=moment) == moment
        work(f"killed-{moment}")
        assert chunks(f"killed-{moment}") == chunks("whole"), f"killed before change {moment} of {total}"


class Doubled(Dataset):
    """Changes all that a window holds."""

    def batch_encode(self, columns: Columns) -> Columns:
        return {"tokens": np.asarray(columns["tokens"]).astype(np.int64) * 2}


@pytest.mark.slow
def test_what_is_held_out_depends_on_the_window_before_it_is_encoded(tmp_path: Path, values: Found) -> None:
    holdout = {"val": 0.3}
    split("train.bin", "plain", window=64, holdout=holdout)
    split("train.bin", "encoded", window=64, holdout=holdout, encode=Doubled())
    for name in ("train", "val"):
        plain, encoded = (values(tmp_path / place / name, "tokens") for place in ("plain", "encoded"))
        assert in_some_order(2 * np.asarray(plain, np.int64)) == in_some_order(encoded)


def test_a_dtype_that_nobody_said_is_refused_where_the_file_seems_to_be_of_another(tmp_path: Path) -> None:
    for dtype in ("uint32", "int64"):
        TOKENS.astype(dtype).tofile("wide.bin")
        with pytest.raises(SplitError, match=r"seems to hold tokens of 32 bits or more.*--dtype uint32, or uint16"):
            split("wide.bin", "chunks", window=64)
    np.random.default_rng(0).integers(0, 4, 4000).astype(np.uint16).tofile("few.bin")  # of four kinds
    split("few.bin", "chunks", window=64)
    assert read_manifest("chunks/manifest.json").num_samples == 62
    TOKENS.astype(np.uint32).tofile("wide.bin")
    split("wide.bin", "wide", window=64, dtype="uint32")
    assert read_manifest("wide/manifest.json").columns[0].dtype == "<u4"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("train.bin", "train.bin: does not say where a sample begins. A .bin file is taken for tokens"),
        ("train.bin --window 10001", "holds 10,000 tokens, less than one window of 10,001. Say a smaller --window"),
        ("odd.bin --window 64", "has 20,001 bytes, which is no whole number of uint16 tokens. It was cut"),
        ("train.bin --window 64 --stride 65", "stride=65 is longer than window=64"),
        ("train.bin --window 64 --dtype float32", "dtype must be of whole numbers, uint16 say, got float32"),
        ("train.bin --window 64 --dtype uint15", "there is no dtype 'uint15'. Tokens are whole numbers"),
        ("train.bin --stride 64", "stride and dtype are about windows of tokens. Say how long these are: --window"),
        ("big.npy --window 4 --dtype uint16", "has the token 70,000 (number 12, from 0), which uint16 cannot hold"),
        ("flat.npy --window 4", "holds int64 of shape [5, 4]; tokens are whole numbers in one dimension"),
        ("real.npy --window 4", "holds float64 of shape [20]; tokens are whole numbers"),
        ("packed.bin.gz --window 64", "is packed, and windows are read from any place on. Unpack it first: gunzip"),
        ("a.jsonl --window 64", "window is for files of tokens, and this is jsonl. If it is tokens, say so"),
        ("- --from text --window 64", "window is for files of tokens, and this is standard input"),
        ("pointer.bin --window 4", "is a pointer of Git LFS"),
        ("a.jsonl --to tokens", "chunks of tokens hold one column of whole numbers"),
    ],
)
def test_what_cannot_be_split_into_windows_is_told_with_what_to_do(
    words: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("odd.bin").write_bytes(TOKENS.tobytes() + b"x")
    numbers = np.arange(20)
    np.save("flat.npy", numbers.reshape(5, 4))
    np.save("real.npy", numbers / 2)
    numbers[12] = 70_000
    np.save("big.npy", numbers)
    Path("packed.bin.gz").write_bytes(gzip.compress(TOKENS.tobytes()))
    Path("a.jsonl").write_text('{"a": 1, "b": 2}\n')
    Path("pointer.bin").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 734003200\n")
    name, *options = words.split()
    assert main(["split", name, "chunks/", *options]) == 2
    assert complaint in capsys.readouterr().err
    assert not Path("chunks", "manifest.json").exists()


def test_the_command_that_an_error_names_unpacks_what_is_packed() -> None:
    Path("packed.bin.gz").write_bytes(gzip.compress(TOKENS.tobytes()))
    with pytest.raises(SplitError) as caught:
        split("packed.bin.gz", "chunks", window=64)
    subprocess.run(caught.value.hint.split(": ")[1].split(), check=True)
    assert split("packed.bin", "chunks", window=64).outputs[0].num_samples == 156


def test_the_screen_says_what_is_left_over(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["split", "train.bin", "chunks/", "--window", "64", "--stride", "63"]
    for _ in range(2):
        assert main(words) == 0
        assert re.search(r"^left over +45 tokens, too few for", capsys.readouterr().out, re.MULTILINE)
