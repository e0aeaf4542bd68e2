"""Workers of Ray bring chunks to a store themselves."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from store_server import StoreServer
from store_writers import check_visible_sets, objects_below, without_places

from pyloader.write import split

pytestmark = [pytest.mark.frameworks, pytest.mark.timeout(180), pytest.mark.filterwarnings("default")]  # Ray's own
write_chunks = pytest.importorskip("pyloader.ray", exc_type=ImportError).write_chunks


pytest.importorskip("obstore")


@pytest.fixture(scope="module")
def ray_data(ray_here: Any) -> Any:
    ray_here.data.range(1).materialize()  # its log file is opened at first use, and stays open
    return ray_here.data


@pytest.fixture
def at_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    Path("scratch").mkdir()
    with StoreServer() as server:
        yield server, {"storage_options": server.s3_options, "scratch_dir": tmp_path / "scratch"}


def test_a_split_on_ray_writes_the_same_bytes_to_a_store(ray_here, at_store):
    server, where = at_store
    Path("dump.jsonl").write_text("".join(json.dumps({"id": i, "text": "x" * (i % 50)}) + "\n" for i in range(40_000)))
    for place, options in (("s3://bucket/web", {"engine": "ray", "workers": 2, **where}), ("there", {})):
        split("dump.jsonl", place, chunk_bytes="100kB", **options)
    there = {path.name: path.read_bytes() for path in Path("there").iterdir()}
    assert without_places(objects_below(server, "bucket/web")) == without_places(there)
    assert not [*Path("scratch").iterdir()]


def test_a_ray_dataset_is_written_to_a_store(ray_data, at_store):
    server, where = at_store
    rows = ray_data.range(1000, override_num_blocks=5)
    assert write_chunks(rows, "s3://bucket/rows", chunk_samples=100, **where) == 1000
    assert check_visible_sets(server, "bucket/rows") == 1000
    found = objects_below(server, "bucket/rows")
    arrays = [np.load(io.BytesIO(data)) for name, data in found.items() if name.endswith("/id.npy")]
    assert sorted(np.concatenate(arrays)) == list(range(1000))
    assert not [*Path("scratch").iterdir()]
