"""Damaged bytes, in every form: whatever became of a chunk, a reader returns rows or an error of the package."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from chunk_forms import write_form
from hypothesis import given, settings
from hypothesis import strategies as st
from shards import SHARDS

from pyloader.datareader import read_chunk
from pyloader.errors import PyLoaderError
from pyloader.files.compressors import COMPRESSORS
from pyloader.read import NumpyReader, TokenReader, reader_for

CASES = int(os.environ.get("PYLOADER_CASES", "60"))
NUM_ROWS = 40
TEXTS = {
    ".jsonl": b'{"id": %d, "text": "h\xc3\xa9llo", "score": 0.5, "tags": [1, null, {"a": true}]}\n',
    ".txt": b"line %d h\xc3\xa9llo\n",
    ".csv": b'%d,"a ""quoted"" text",0.5\n',
    ".tsv": b"%d\ttext\t0.5\n",
}
NAMES = [
    *(f"c{suffix}" for suffix in (*TEXTS, ".npy", ".npz", ".bin", ".parquet", ".arrow", ".feather", ".arrayrecord")),
    *(f"c{suffix}{packing}" for suffix in (".jsonl", ".npy") for packing in COMPRESSORS),
    "packed.npz",
    *(f"c{suffix}" for suffix in (".tar", ".tfrecord", ".mds", ".mds.zstd")),
]  # fmt: skip
OF_OTHERS = {
    ".tar": "a.tar",
    ".tfrecord": "a.tfrecord",
    ".mds": "mds/shard.00000.mds",
    ".mds.zstd": "mds-zstd/shard.00000.mds.zstd",
}


def whole_chunk(path: Path) -> bytes:
    """Return the bytes of a good chunk."""
    if shard := OF_OTHERS.get("".join(path.suffixes)):
        return (SHARDS / shard).read_bytes()
    suffix, numbers = path.suffixes[0], np.arange(NUM_ROWS)
    header = {".csv": b"id,text,score\n", ".tsv": b"id\ttext\tscore\n"}.get(suffix, b"")
    write_form(
        path,
        lines=[header, *(TEXTS[suffix] % number for number in range(NUM_ROWS))] if suffix in TEXTS else (),
        array=np.array([(1, 2.0)] * NUM_ROWS, [("a", "<i4"), ("b", "<f8", (2,))]),
        arrays={"a": numbers, "b": numbers > 3},
        records=(b"record %d" % number for number in range(NUM_ROWS)),
        group=4,
        table={"id": numbers, "text": ["héllo", None] * (NUM_ROWS // 2), "list": [[1, 2], []] * (NUM_ROWS // 2)},
    )
    return path.read_bytes()


# A place, as a share of the file, and what becomes of it.
places = st.floats(0, 1, exclude_max=True)
damages = st.lists(
    st.one_of(
        st.tuples(st.just("flip"), places, st.integers(0, 7)),
        st.tuples(st.just("cut"), places, st.just(0)),
        st.tuples(st.just("set"), places, st.sampled_from([0, 1, 0x7F, 0x80, 0xFF])),
        st.tuples(st.just("leave out"), places, st.integers(1, 20)),
        st.tuples(st.just("twice"), places, st.integers(1, 200)),
    ),
    min_size=1,
    max_size=4,
)


def damaged(data: bytes, damage: list[tuple[str, float, int]]) -> bytes:
    changed = bytearray(data)
    for kind, share, number in damage:
        place = int(share * len(changed))
        if not changed:
            break
        if kind == "flip":
            changed[place] ^= 1 << number
        elif kind == "set":
            changed[place] = number
        elif kind == "cut":
            del changed[place:]
        elif kind == "leave out":
            del changed[place : place + number]
        else:
            changed[place:place] = changed[place : place + number]
    return bytes(changed)


@pytest.fixture(scope="module")
def good_chunks(tmp_path_factory):
    directory = tmp_path_factory.mktemp("good")
    return lambda name: whole_chunk(directory / name)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=CASES, deadline=None)
@given(damage=damages)
def test_damage_is_an_error_of_ours_that_names_the_chunk(tmp_path_factory, good_chunks, name, damage):
    if name == "c.tfrecord":
        pytest.importorskip("google_crc32c")
    path = tmp_path_factory.mktemp("damaged") / name
    path.write_bytes(damaged(good_chunks(name), damage))
    if name.endswith(".bin"):
        readers = [TokenReader(window=3, dtype="uint16"), TokenReader(window=3, stride=1, dtype="uint16", mmap=True)]
    else:
        readers = [reader_for(path)]
    readers += [NumpyReader(mmap=True)] if name == "c.npy" else []
    for reader in readers:
        try:
            columns, num_rows = reader.read_file(str(path))
        except PyLoaderError as exc:
            assert name in str(exc)
        else:
            assert {len(values) for values in columns.values()} <= {num_rows}
        if type(reader).read_damaged_file is not type(reader).__mro__[1].read_damaged_file:  # type: ignore[attr-defined]
            try:
                reader.read_damaged_file(str(path))
            except PyLoaderError as exc:
                assert name in str(exc)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", OF_OTHERS)
@settings(max_examples=CASES, deadline=None)
@given(damage=damages)
def test_damage_in_a_part_is_an_error_of_ours_that_names_the_file(tmp_path_factory, suffix, damage):
    if suffix == ".tfrecord":
        pytest.importorskip("google_crc32c")
    path = tmp_path_factory.mktemp("damaged") / f"c{suffix}"
    path.write_bytes(damaged((SHARDS / OF_OTHERS[suffix]).read_bytes(), damage))
    reader = reader_for(path)
    try:
        for part in reader.find_parts(str(path), chunk_bytes=100) or []:
            assert {len(values) for values in read_chunk(reader, path, part).values()} == {part.num_samples}
    except PyLoaderError as exc:
        assert f"c{suffix}" in str(exc)
