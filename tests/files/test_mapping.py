"""Mapped files: kept while they are what they were, and never more than so many."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from pyloader.files.mapping import MappedFiles
from pyloader.machine.limits import open_files_share
from pyloader.read import NumpyReader, TokenReader


def map_bytes(path: str) -> np.ndarray:
    return np.asarray(np.memmap(path, np.uint8, "r"))


def file_of(path: Path, content: bytes = b"abc") -> str:
    path.write_bytes(content)
    return str(path)


def test_a_file_that_is_wanted_again_is_not_mapped_again(tmp_path):
    mapped, path = MappedFiles(), file_of(tmp_path / "a")
    assert mapped.array(path, map_bytes) is mapped.array(path, map_bytes)


@pytest.mark.parametrize("replace", [True, False])
def test_a_file_that_has_changed_is_mapped_anew(tmp_path, replace):
    mapped, path = MappedFiles(), file_of(tmp_path / "a", b"abc")
    assert bytes(mapped.array(path, map_bytes)) == b"abc"
    if replace:
        os.replace(file_of(tmp_path / "b", b"xyz"), path)
    else:
        file_of(tmp_path / "a", b"vwxyz")
    assert bytes(mapped.array(path, map_bytes)) in (b"xyz", b"vwxyz")


def test_the_file_used_longest_ago_is_let_go_of_first(tmp_path):
    mapped, paths = MappedFiles(max_files=2), [file_of(tmp_path / name) for name in "abc"]
    first, second = (mapped.array(path, map_bytes) for path in paths[:2])
    assert mapped.array(paths[0], map_bytes) is first
    mapped.array(paths[2], map_bytes)
    assert mapped.array(paths[0], map_bytes) is first
    assert mapped.array(paths[1], map_bytes) is not second


def test_all_readers_together_keep_no_more_than_one_may(tmp_path):
    paths = [file_of(tmp_path / name) for name in "abcd"]
    first, second = MappedFiles(max_files=3), MappedFiles(max_files=3)
    for mapped in (first, second):
        for path in paths:
            mapped.array(path, map_bytes)
    assert len(first._kept) + len(second._kept) == 3
    del first
    for path in paths:
        second.array(path, map_bytes)
    assert len(second._kept) == 3


def test_a_copy_in_another_process_maps_for_itself(tmp_path):
    mapped, path = MappedFiles(max_files=3), file_of(tmp_path / "a")
    array = mapped.array(path, map_bytes)
    copy = pickle.loads(pickle.dumps(mapped))
    assert copy.array(path, map_bytes) is not array
    assert len(pickle.dumps(mapped)) < 200


def test_readers_that_map_share_an_epochs_mappings_with_the_next(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(20, dtype=np.uint16))
    (tmp_path / "a.bin").write_bytes(np.arange(20, dtype=np.uint16).tobytes())
    tokens = TokenReader(window=5, dtype="uint16", mmap=True)
    for reader, name, column in ((NumpyReader(mmap=True), "a.npy", "data"), (tokens, "a.bin", "tokens")):
        first, again = (reader.read_file(str(tmp_path / name))[0][column] for _ in range(2))
        assert np.shares_memory(first, again)


def test_fewer_are_kept_open_than_the_process_may_have():
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (80, hard))
    try:
        assert open_files_share() == 20
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
