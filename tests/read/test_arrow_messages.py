"""Arrow streams: their batches are found by the messages' headers, and damage there is an error."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pyloader.errors import ChunkReadError, PyLoaderError
from pyloader.read import HuggingFaceReader
from pyloader.read.arrow_messages import batches_of_stream

pa = pytest.importorskip("pyarrow")

SIZES = [3, 0, 5, 1]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("streams") / "a.arrow"
    schema = pa.schema({"n": pa.int64(), "text": pa.string()})
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, schema) as stream:
        for size in SIZES:
            stream.write_batch(pa.RecordBatch.from_pydict({"n": range(size), "text": ["a"] * size}, schema))
    return path


def test_rows_and_places_are_those_that_arrow_finds(path):
    with open(path, "rb") as file:
        schema_stop, batches, has_dictionaries = batches_of_stream(file, "a", path.stat().st_size)
        assert not has_dictionaries
        assert [batch.num_rows for batch in batches] == SIZES
        assert [batch.start for batch in batches] == [schema_stop, *(batch.stop for batch in batches[:-1])]
    schema = pa.ipc.open_stream(path.read_bytes()).schema
    for batch, size in zip(batches, SIZES, strict=True):
        read = pa.ipc.read_record_batch(pa.py_buffer(path.read_bytes()[batch.start : batch.stop]), schema)
        assert read.num_rows == size


@pytest.mark.parametrize(
    "head", [b"ARROW1\0\0" + bytes(100), b"x" * 100, bytes(100), b"\xff\xff\xff\xff" + b"\x7f" * 20]
)
def test_what_is_no_stream_is_an_error(tmp_path, head):
    (tmp_path / "a.arrow").write_bytes(head)
    with (
        open(tmp_path / "a.arrow", "rb") as file,
        pytest.raises(ChunkReadError, match="is damaged, or no Arrow stream"),
    ):
        batches_of_stream(file, "a.arrow", len(head))


@pytest.mark.slow
@given(place=st.integers(0, 10**6), value=st.integers(0, 255))
@example(place=1272, value=0)  # two names become empty
def test_a_byte_that_is_wrong_is_other_rows_or_an_error(path, tmp_path_factory, place, value):
    data = bytearray(path.read_bytes())
    data[place % len(data)] = value
    broken = tmp_path_factory.mktemp("broken") / "a.arrow"
    broken.write_bytes(data)
    reader = HuggingFaceReader()
    try:
        columns, num_rows = reader.read_file(str(broken))
        assert {len(values) for values in columns.values()} == {num_rows}
        for part in reader.find_parts(str(broken), chunk_bytes=1) or []:
            reader.read_part(str(broken), part)
    except PyLoaderError as exc:
        assert "a.arrow" in str(exc)
