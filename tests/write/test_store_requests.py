"""Requests for chunks: what a store does not take in one is refused, and nothing is left of what was begun."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from store_server import StoreServer
from store_writers import split_options

from pyloader import ChunkWriter, DataLoader
from pyloader.errors import SplitError
from pyloader.write import split

ADDRESS = "s3://bucket/web/"
TOO_LARGE = (
    r"^s3://bucket/web/chunk-0000\d\S*: has [\d,]+ bytes, and s3:// takes at most 4,000 in one request\. "
    "Make smaller chunks: --chunk-bytes 1GB, or chunk_bytes="
)


@pytest.fixture
def server(tmp_path, small_steps, monkeypatch):
    """A store that takes 4,000 bytes in a request, and a dump whose last rows are long."""
    small_steps()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pyloader.write.store_requests._MOST_BYTES", {"s3": 4000})
    Path("scratch").mkdir()
    chance = random.Random(1)
    rows = ({"id": i, "text": chance.randbytes(8 if i < 200 else 300).hex()} for i in range(240))
    Path("dump.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with StoreServer() as server:
        yield server


@pytest.mark.slow
@pytest.mark.parametrize("how", [{"chunk_samples": 40}, {"num_chunks": 2, "shuffle": True}, {"chunk_samples": 100}])
def test_a_chunk_that_is_too_large_is_named_and_smaller_ones_are_taken(server, how):
    options = split_options(server, Path("scratch"))
    with pytest.raises(SplitError, match=TOO_LARGE):
        split("dump.jsonl", ADDRESS, **options, **how)
    assert not [name for name in server.objects if name.startswith("bucket/web/")]
    split("dump.jsonl", ADDRESS, **options, chunk_bytes=4000)
    with DataLoader(
        data_dir=ADDRESS, batch_size=240, num_epochs=1, storage_options=server.s3_options, cache_dir="cache"
    ) as loader:
        assert [len(batch["id"]) for batch in loader] == [240]


@pytest.mark.slow
def test_of_columns_each_is_an_object(server):
    np.save("x.npy", np.zeros((100, 10), np.float32))
    options = split_options(server, Path("scratch"))
    split({"x": "x.npy", "y": "x.npy"}, ADDRESS, **options, output_format="columns", chunk_samples=90)
    with pytest.raises(SplitError, match=r"web/chunk-00000\.columns/x"):
        split({"x": "x.npy"}, ADDRESS, **options, output_format="columns", overwrite=True, chunk_samples=100)


def test_a_chunk_of_a_writer_is_refused_too(server):
    place = {"storage_options": server.s3_options, "scratch_dir": "scratch"}
    with pytest.raises(SplitError, match=TOO_LARGE), ChunkWriter(ADDRESS, chunk_samples=240, **place) as writer:
        for line in Path("dump.jsonl").read_text().splitlines():
            writer.write(json.loads(line))
    assert not server.objects
