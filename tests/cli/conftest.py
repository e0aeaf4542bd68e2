"""A set of chunks in an object store, a stub on loopback, that the environment leads to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from store_server import ACCESS_KEY, SECRET_KEY, StoreServer

from pyloader import split


@pytest.fixture(scope="session")
def web_chunks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """8 chunks of 125 lines, with their manifest."""
    place = tmp_path_factory.mktemp("rows")
    lines = (json.dumps({"n": n, "text": f"line {n}"}) + "\n" for n in range(1000))
    (place / "dump.jsonl").write_text("".join(lines))
    split(place / "dump.jsonl", place / "web", chunk_samples=125)
    return place / "web"


@pytest.fixture
def server(web_chunks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StoreServer]:
    """A store that has them at s3://corpus/web."""
    with StoreServer() as server:
        server.put_directory(web_chunks, "corpus/web")
        for name, value in (
            ("AWS_ENDPOINT_URL", server.url),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
            ("PYLOADER_CACHE", str(tmp_path / "cache")),
            ("COLUMNS", "200"),
        ):
            monkeypatch.setenv(name, value)
        yield server
