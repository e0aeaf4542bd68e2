"""ChunkWriter writes what it is given, whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyloader.errors import SplitError
from pyloader.files import checksum_of, list_chunks
from pyloader.write import ChunkWriter


def test_samples_come_back_as_they_were(tmp_path: Path, samples: Any, values: Any) -> None:
    with ChunkWriter(tmp_path / "chunks", chunk_samples=90) as writer:
        for sample in samples:
            writer.write(sample)
    assert writer.num_samples == 400
    assert values(tmp_path / "chunks", "text") == [sample["text"] for sample in samples]
    counts = list_chunks(tmp_path / "chunks").counts
    assert counts is not None
    assert counts.tolist() == [90, 90, 90, 90, 40]


def test_arrays_stay_arrays_and_may_come_in_columns_of_any_length(tmp_path: Path, read_all: Any) -> None:
    x = np.arange(1000 * 4, dtype=">f4").reshape(1000, 4)
    with ChunkWriter(tmp_path / "chunks", chunk_samples=300) as writer:
        writer.write({"x": x[0], "y": 0})
        for start, stop in [(1, 3), (3, 3), (3, 700), (700, 1000)]:
            writer.write_columns({"x": x[start:stop], "y": np.arange(start, stop)})
    parts = read_all(tmp_path / "chunks")
    assert [len(part["y"]) for part in parts] == [300, 300, 300, 100]
    np.testing.assert_array_equal(np.concatenate([part["x"] for part in parts]), x)
    np.testing.assert_array_equal(np.concatenate([part["y"] for part in parts]), np.arange(1000))


def test_bytes_go_to_parquet(tmp_path: Path, values: Any) -> None:
    pytest.importorskip("pyarrow")
    with ChunkWriter(tmp_path / "chunks") as writer:
        for index in range(10):
            writer.write({"image": bytes([index, 255]), "label": index})
    assert values(tmp_path / "chunks", "image") == [bytes([index, 255]) for index in range(10)]
    assert values(tmp_path / "chunks", "label") == list(range(10))


def test_the_manifest_counts_and_checks_every_chunk(tmp_path: Path) -> None:
    with ChunkWriter(tmp_path / "chunks", chunk_bytes="1kB") as writer:
        for index in range(200):
            writer.write({"id": index, "text": "x" * index})
    chunks = list_chunks(tmp_path / "chunks")
    assert chunks.manifest is not None
    assert chunks.manifest.num_samples == 200
    for entry in chunks.manifest.chunks:
        assert entry.raw_bytes <= 1000
        assert entry.checksum == checksum_of(tmp_path / "chunks" / entry.file)
    assert list(map(str, chunks.manifest.columns)) == ["id: int64", "text: str"]


def test_after_an_exception_nothing_is_left(tmp_path: Path) -> None:
    def write_some() -> None:
        with ChunkWriter(tmp_path / "chunks", chunk_samples=10) as writer:
            writer.write_columns({"x": np.arange(35)})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_some()
    assert list((tmp_path / "chunks").iterdir()) == []


def test_appending_keeps_what_is_there_also_after_an_exception(tmp_path: Path, values: Any, tree: Any) -> None:
    with ChunkWriter(tmp_path / "chunks") as writer:
        writer.write({"a": 1})
    before = tree(tmp_path / "chunks")
    with pytest.raises(SplitError, match="cannot be added to"), ChunkWriter(tmp_path / "chunks", append=True) as writer:
        writer.write({"b": 1})
    assert tree(tmp_path / "chunks") == before
    with ChunkWriter(tmp_path / "chunks", append=True) as writer:
        writer.write({"a": 2.5})
    assert values(tmp_path / "chunks", "a") == [1.0, 2.5]
    manifest = list_chunks(tmp_path / "chunks").manifest
    assert manifest is not None
    assert list(map(str, manifest.columns)) == ["a: float64"]


def test_other_chunks_are_refused_unless_they_may_be_overwritten(tmp_path: Path, values: Any) -> None:
    with ChunkWriter(tmp_path / "chunks", chunk_samples=1) as writer:
        writer.write_columns({"a": [1, 2, 3]})
    with pytest.raises(SplitError, match=r"holds 3 chunks of another dump .* append=True, or overwrite=True"):
        ChunkWriter(tmp_path / "chunks")
    with ChunkWriter(tmp_path / "chunks", overwrite=True) as writer:
        writer.write({"a": 4})
    assert values(tmp_path / "chunks", "a") == [4]


@pytest.mark.parametrize(
    ("second", "complaint"),
    [
        ({"a": 1, "b": 2}, r"sample 1 has \['a', 'b'\], but those before it have \['a'\]"),
        ({"a": {1: 2}}, r"sample 1 has \{1: 2\} in column 'a', which JSON cannot hold\.$"),
        ({"a": object()}, r"sample 1 has an object \(<object object at .*\) in column 'a', which JSON cannot hold\.$"),
        ({"a": 2**70}, "sample 1 has 1180591620717411303424 in column 'a', which int64 cannot hold. Write it as text"),
    ],
)
def test_samples_that_do_not_fit_are_refused(second: dict[str, Any], complaint: str, tmp_path: Path) -> None:
    with pytest.raises(SplitError, match=complaint), ChunkWriter(tmp_path / "chunks", format="jsonl") as writer:
        writer.write({"a": 1})
        writer.write(second)
    assert list((tmp_path / "chunks").iterdir()) == []


def test_no_samples_make_no_chunks(tmp_path: Path) -> None:
    with pytest.raises(SplitError, match="was given no samples"), ChunkWriter(tmp_path / "chunks"):
        pass


def test_what_is_written_after_the_end_is_an_error(tmp_path: Path) -> None:
    writer = ChunkWriter(tmp_path / "chunks")
    writer.write({"a": 1})
    writer.close()
    writer.close()
    with pytest.raises(ValueError, match="closed"):
        writer.write_columns({"a": [2]})
    with pytest.raises(ValueError, match="closed"):
        writer.write({"a": 2})
