"""Tokens: windows of a fixed length, as views of what a chunk holds."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyloader import DataLoader, TokenReader
from pyloader.cli.main import main
from pyloader.errors import ChunkReadError, DataDirError, ManifestError
from pyloader.files import Manifest, read_manifest
from pyloader.files.compressors import COMPRESSORS, open_packed
from pyloader.read import reader_for
from pyloader.testing import check_reader

TOKENS = np.arange(1000, dtype=np.uint16)


def windows_of(path, **options) -> np.ndarray:
    columns, num_windows = TokenReader(**options).read_file(str(path))
    (windows,) = columns.values()
    assert len(windows) == num_windows
    return windows


def flat_file(path, tokens=TOKENS):
    tokens.tofile(path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("mmap", [False, True])
@given(num_tokens=st.integers(0, 60), window=st.integers(1, 20), data=st.data())
def test_every_whole_window_is_read_and_the_leftover_is_counted(tmp_path_factory, mmap, num_tokens, window, data):
    stride = data.draw(st.integers(1, window))
    path = flat_file(tmp_path_factory.mktemp("tokens") / "a.bin", TOKENS[:num_tokens])
    windows = windows_of(path, window=window, stride=stride, dtype="uint16", mmap=mmap)
    starts = range(0, num_tokens - window + 1, stride)
    assert windows.shape == (len(starts), window)
    assert windows.tolist() == [list(range(start, start + window)) for start in starts]
    covered = starts[-1] + window if starts else 0
    reader = TokenReader(window=window, stride=stride, dtype="uint16", mmap=mmap)
    assert reader.leftover_tokens(str(path)) == num_tokens - covered


@pytest.mark.parametrize("dtype", ["<u2", ">u2", "uint32", "int64"])
@pytest.mark.parametrize("suffix", [".bin", ".npy"])
def test_the_dtype_stays_what_is_stored_in_the_machines_byte_order(tmp_path, dtype, suffix):
    path, tokens = tmp_path / f"a{suffix}", TOKENS.astype(dtype)
    np.save(path, tokens) if suffix == ".npy" else tokens.tofile(path)
    windows = windows_of(path, window=10, dtype=dtype)
    assert windows.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(windows.reshape(-1), TOKENS)


@pytest.mark.parametrize("mmap", [False, True])
def test_windows_are_views_however_far_they_overlap(tmp_path, mmap):
    windows = windows_of(flat_file(tmp_path / "a.bin"), window=100, stride=1, dtype="uint16", mmap=mmap)
    assert windows.strides == (2, 2)
    assert not windows.flags.writeable
    assert windows_of(tmp_path / "a.bin", window=100, dtype="uint16").flags.writeable


@pytest.mark.parametrize("stride", [7, 5])
@pytest.mark.parametrize("packing", ["", *COMPRESSORS])
@pytest.mark.parametrize("suffix", [".bin", ".npy"])
def test_the_contract_holds(tmp_path, suffix, packing, stride):
    path = tmp_path / f"a{suffix}{packing}"
    with open_packed(path, "wb") as file:
        np.save(file, TOKENS) if suffix == ".npy" else file.write(TOKENS.tobytes())
    windows = check_reader(TokenReader(window=7, stride=stride, dtype="uint16"), path)["tokens"]
    assert windows[1].tolist() == list(range(stride, stride + 7))


def test_a_reader_that_has_read_can_be_pickled_without_its_memory(tmp_path):
    reader = TokenReader(window=10, dtype="uint16")
    reader.read_file(str(flat_file(tmp_path / "a.bin", np.zeros(10**6, np.uint16))))
    assert len(pickle.dumps(reader)) < 1000


@pytest.mark.parametrize("window", [1, 3])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_overlapping_windows_are_shuffled_without_being_copied_first(tmp_path, monkeypatch, window, num_workers):
    for index in range(6):
        flat_file(tmp_path / f"{index}.bin", TOKENS + 1000 * index)
    made = []
    contiguous = np.ascontiguousarray
    monkeypatch.setattr(np, "ascontiguousarray", lambda *a, **k: made.append(a[0].shape) or contiguous(*a, **k))
    reader = TokenReader(window=64, stride=8, dtype="uint16")
    options = {"batch_size": 10, "shuffle": True, "shuffle_window": window, "num_workers": num_workers}
    with DataLoader(reader, data_dir=tmp_path, **options) as loader:
        batches = [batch["tokens"] for batch in loader]
    assert made == []
    assert all(batch.flags.writeable and batch.flags.c_contiguous for batch in batches)
    rows = np.concatenate(batches)
    assert (np.diff(rows, axis=1) == 1).all()
    starts = [1000 * index + start for index in range(6) for start in range(0, 1000 - 64 + 1, 8)]
    assert rows[:, 0].tolist() != starts
    assert sorted(rows[:, 0].tolist()) == starts


def test_batches_of_overlapping_windows_in_file_order_share_no_memory(tmp_path):
    with DataLoader(TokenReader(window=10, stride=1), data_dir=[save(tmp_path)], batch_size=4) as loader:
        first, second = next(loader)["tokens"], next(loader)["tokens"]
    first[:] = 0
    assert second[0].tolist() == list(range(4, 14))


def save(directory, tokens=TOKENS) -> str:
    np.save(directory / "a.npy", tokens)
    return str(directory / "a.npy")


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"window": 0}, "window must be at least 1, got 0"),
        ({"window": 8, "stride": 0}, "stride must be at least 1, got 0"),
        (
            {"window": 8, "stride": 9},
            "stride=9 is longer than window=8: the tokens between two windows would be in none",
        ),
        ({"window": 8, "dtype": "float32"}, "dtype must be of integers, 'uint16' say, got float32"),
    ],
)
def test_options_that_cannot_be_are_refused(options, match):
    with pytest.raises(ValueError, match=match):
        TokenReader(**options)


def test_files_that_are_no_tokens_are_errors(tmp_path):
    path = flat_file(tmp_path / "a.bin", TOKENS[:3])
    with pytest.raises(
        ChunkReadError, match=r"a\.bin: does not say of which dtype its tokens are\. Pass dtype='uint16'"
    ):
        windows_of(path, window=2)
    for mmap in (False, True):
        with pytest.raises(
            ChunkReadError, match=r"has 6 bytes, which is no whole number of uint32 tokens\. It was cut"
        ):
            windows_of(path, window=2, dtype="uint32", mmap=mmap)
    with pytest.raises(ChunkReadError, match=r"a\.npy: holds uint16, not uint32, as dtype says"):
        windows_of(save(tmp_path), window=2, dtype="uint32")
    with pytest.raises(ChunkReadError, match=r"holds float64, not integers"):
        windows_of(save(tmp_path, np.zeros(3)), window=2)
    with pytest.raises(ChunkReadError, match=r"holds an array of shape \[2, 3\]; tokens are one after another"):
        windows_of(save(tmp_path, np.zeros((2, 3), np.uint16)), window=2)
    with open_packed(tmp_path / "a.bin.zst", "wb") as file:
        file.write(TOKENS.tobytes()[:-1])
    with pytest.raises(ChunkReadError, match="has 1,999 bytes"):
        windows_of(tmp_path / "a.bin.zst", window=2, dtype="uint16")
    with pytest.raises(ChunkReadError, match="is packed, and cannot be mapped"):
        windows_of(tmp_path / "a.bin.zst", window=2, dtype="uint16", mmap=True)


def test_a_file_that_is_cut_while_it_is_read_is_an_error(tmp_path, monkeypatch):
    path = flat_file(tmp_path / "a.bin")
    monkeypatch.setattr("os.path.getsize", lambda path: 4000)
    with pytest.raises(ChunkReadError, match="became shorter while it was read"):
        windows_of(path, window=2, dtype="uint16")


def test_a_directory_of_bin_files_says_which_reader_to_pass(tmp_path):
    flat_file(tmp_path / "a.bin")
    with pytest.raises(DataDirError, match=r"ends in '\.bin'.*pass TokenReader\(window=1025, dtype='uint16'\)"):
        DataLoader(data_dir=tmp_path)


def test_index_counts_windows_and_then_the_directory_is_all_it_takes(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    for index in range(3):
        flat_file(tmp_path / f"{index}.bin", TOKENS + 1000 * index)
    words = ["--reader", "tokens", "--option", "window=65", "--option", "stride=64", "--option", "dtype=uint16"]
    assert main(["index", str(tmp_path), *words]) == 0
    screen = capsys.readouterr().out
    assert "3 chunks, 45 samples" in screen
    assert "columns    tokens: uint16 [65]" in screen
    assert "warning    117 tokens at the chunks' ends make no whole window, and are left out" in screen
    manifest = read_manifest(tmp_path / "manifest.json")
    assert manifest.reader_options == {"window": 65, "stride": 64, "dtype": "uint16"}
    assert manifest.made_by["command"].endswith(" ".join(words))
    with DataLoader(data_dir=tmp_path, batch_size=10, shuffle=True) as loader:
        assert len(loader) == 5
        batches = [next(loader) for _ in range(3)]
        state = json.loads(json.dumps(loader.state_dict()))
        rest = list(loader)
    with DataLoader(data_dir=tmp_path, batch_size=10, shuffle=True) as loader:
        loader.load_state_dict(state)
        np.testing.assert_equal(list(loader), rest)
    starts = np.concatenate([batch["tokens"] for batch in batches + rest])[:, 0]
    assert sorted(starts.tolist()) == [1000 * index + start for index in range(3) for start in range(0, 936, 64)]


def test_options_that_a_reader_does_not_take_are_said_with_its_words(tmp_path, capsys):
    flat_file(tmp_path / "a.bin")
    for words, answer in (
        (["--reader", "tokens"], "--reader tokens: TokenReader.__init__() missing 1 required keyword-only argument"),
        (["--reader", "tokens", "--option", "window"], "--option window: write it as NAME=VALUE"),
        (["--reader", "tokens", "--option", "window=0"], "--reader tokens: window must be at least 1, got 0"),
        (["--option", "window=3"], "--option says what a reader is made with: name it, --reader tokens"),
    ):
        assert main(["index", str(tmp_path), *words]) == 2
        assert answer in capsys.readouterr().err


def test_a_manifest_with_options_that_cannot_be_is_an_error():
    manifest = Manifest(columns=(), reader="tokens", reader_options={"window": -1}, chunks=())
    with pytest.raises(
        ManifestError, match=r"is read by 'tokens' with \{'window': -1\}, says the manifest: window must"
    ):
        reader_for("a.bin", manifest=manifest)
