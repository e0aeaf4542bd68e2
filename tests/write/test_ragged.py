"""Rows of unequal length are written as ragged columns, and come back as they were."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyloader import ChunkWriter, Dataset, NumpyReader, Ragged, split
from pyloader.columns import concatenate_columns
from pyloader.errors import SplitError
from pyloader.files import read_manifest
from pyloader.write.layout import Layout
from pyloader.write.ragged_form import joint_dtype
from pyloader.write.rows import join_rows, ordered_rows


class Letters(Dataset):
    """The letters of a text as lists of numbers, and how many there are."""

    def batch_encode(self, columns):
        return {"letters": [list(map(ord, text)) for text in columns["text"]], "n": list(map(len, columns["text"]))}


class Bytes(Dataset):
    def batch_encode(self, columns):
        return {"utf8": Ragged.from_rows([text.encode() for text in columns["text"]], dtype=bytes)}


class Arrays(Dataset):
    def batch_encode(self, columns):
        return {"letters": [np.array(list(map(ord, text)), np.int64) for text in columns["text"]]}


class WithText(Letters):
    def batch_encode(self, columns):
        return {**super().batch_encode(columns), "text": columns["text"]}


class Mixed(Dataset):
    """Letters, but a list of texts for one of them."""

    def batch_encode(self, columns):
        return {"letters": [["?"] if "?" in text else list(map(ord, text)) for text in columns["text"]]}


def dump(path, texts) -> str:
    path.write_text("".join(f"{text}\n" for text in texts))
    return str(path)


def specs_of(directory) -> dict[str, str]:
    return {spec.name: str(spec).split(": ")[1] for spec in read_manifest(Path(directory) / "manifest.json").columns}


def read(directory) -> dict:
    chunks = sorted(Path(directory).glob("*.columns"))
    return concatenate_columns([NumpyReader().read_file(str(chunk))[0] for chunk in chunks])


@given(
    st.lists(st.lists(st.integers(-9, 70_000), max_size=4), min_size=1, max_size=9),
    st.sampled_from(["int32", "float16", "int64", "complex64"]),
    st.randoms(use_true_random=False),
)
def test_rows_come_back_in_any_order(rows, dtype, chance):
    column = Ragged(np.arange(sum(map(len, rows)) + 2).astype(dtype), 1 + np.cumsum([0, *map(len, rows)]))
    images = Ragged.from_rows([bytes(row % 256 for row in each) for each in rows])
    columns = {"x": column, "n": np.arange(len(rows), dtype="f4"), "image": images}
    layout = Layout("columns")
    parts = [layout.rows([columns]), layout.rows([columns])]
    order = chance.sample(range(2 * len(rows)), 2 * len(rows))
    back = layout.form.to_columns(ordered_rows(parts, np.array(order)))
    both = concatenate_columns([columns, columns])
    assert list(back) == ["x", "n", "image"]
    assert {name: values[order] == back[name] for name, values in both.items() if name != "n"} == {
        "x": True,
        "image": True,
    }
    assert back["n"].tolist() == both["n"][order].tolist()
    assert layout.form.to_columns(join_rows(parts))["x"] == both["x"]


@pytest.mark.parametrize(
    ("dtypes", "joint"),
    [
        ({"|u1", "<u2"}, "<u2"),
        ({"|u1", "|i1"}, "<i2"),
        ({"<u2", "<i4"}, "<i4"),
        ({"<u4", "|i1"}, "<i8"),
        ({"<u8", "|i1"}, None),
        ({"<f2", "<f8"}, "<f8"),
        ({"<u4", "<f4"}, "<f8"),
        ({"<i8", "<f8"}, None),
        ({"|b1", "|u1"}, None),
        ({"|S0", "|u1"}, None),
        ({"<c8"}, "<c8"),
        (set(), None),
    ],
)
def test_the_smallest_dtype_holds_what_each_of_several_held(dtypes, joint):
    assert joint_dtype(dtypes) == joint


@pytest.mark.parametrize(
    ("odd", "dtype"), [("a", "uint8"), ("\u3042", "uint16"), ("\U0001f600", "int32")], ids=["uint8", "uint16", "int32"]
)
@pytest.mark.parametrize("options", [{}, {"shuffle": True}, {"output_format": "columns"}], ids=["", "shuffle", "to"])
def test_lists_of_integers_become_the_smallest_dtype_that_holds_all(tmp_path, odd, dtype, options):
    texts = ["x" * (number % 7) for number in range(5000)]
    texts[4000] += odd  # far from the first rows
    out = tmp_path / "out"
    split(dump(tmp_path / "a.txt", texts), out, encode=Letters(), chunk_samples=900, progress=False, **options)
    assert specs_of(out) == {"letters": f"ragged {dtype}", "n": "int64"}
    columns = read(out)
    assert columns["letters"].dtype == dtype
    found = ["".join(map(chr, letters)) for letters in columns["letters"].to_list()]
    assert (sorted(found) if options.get("shuffle") else found) == (sorted(texts) if options.get("shuffle") else texts)
    assert columns["n"].tolist() == columns["letters"].lengths.tolist()


def test_the_same_command_writes_the_same_chunks(tmp_path):
    texts = ["x" * (number % 7) + "\u3042" * (number == 3000) for number in range(4000)]
    source = dump(tmp_path / "a.txt", texts)
    for name, workers in (("one", 1), ("two", 2)):
        split(
            source, tmp_path / name, encode=Letters(), chunk_samples=900, shuffle=True, workers=workers, progress=False
        )
    one, two = (
        [(chunk.file, chunk.checksum) for chunk in read_manifest(tmp_path / name / "manifest.json").chunks]
        for name in ("one", "two")
    )
    assert one == two


def test_arrays_keep_their_dtype_and_bytes_are_bytes(tmp_path):
    source = dump(tmp_path / "a.txt", ["a", "bc", "", "d"])
    split(source, tmp_path / "arrays", encode=Arrays(), progress=False)
    assert specs_of(tmp_path / "arrays") == {"letters": "ragged int64"}
    split(source, tmp_path / "bytes", encode=Bytes(), progress=False)
    assert specs_of(tmp_path / "bytes") == {"utf8": "ragged bytes"}
    assert read(tmp_path / "bytes")["utf8"].to_list() == [b"a", b"bc", b"", b"d"]


def test_lists_beside_text_stay_json_lines(tmp_path):
    split(dump(tmp_path / "a.txt", ["a", "bc"]), tmp_path / "out", encode=WithText(), progress=False)
    assert {chunk.name.partition(".")[2] for chunk in (tmp_path / "out").glob("chunk-*")} == {"jsonl.zst"}


def test_rows_of_one_length_stay_what_they_were(tmp_path):
    split(dump(tmp_path / "a.txt", ["ab", "bc"]), tmp_path / "out", encode=Letters(), progress=False)
    assert specs_of(tmp_path / "out") == {"letters": "list", "n": "int64"}


def test_a_row_of_text_among_them_is_an_error_that_names_its_line(tmp_path):
    texts = ["x" * (number % 7) for number in range(3000)]
    texts[2999] = "?"
    with pytest.raises(SplitError, match=r"a\.txt:\d+: has 'letters' as no rows of numbers"):
        split(dump(tmp_path / "a.txt", texts), tmp_path / "out", encode=Mixed(), progress=False)


def test_json_lines_go_to_columns_where_that_is_asked_for(tmp_path):
    lines = [{"ids": [1] * (number % 3), "x": number / 2} for number in range(10)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    split(tmp_path / "a.jsonl", tmp_path / "out", output_format="columns", progress=False)
    assert specs_of(tmp_path / "out") == {"ids": "ragged int64", "x": "float64"}
    assert read(tmp_path / "out")["ids"].to_list() == [line["ids"] for line in lines]


def test_a_writer_takes_ragged_columns_and_arrays_of_unequal_length(tmp_path):
    column = Ragged.from_rows([[1, 2], [], [3]], dtype="uint16")
    with ChunkWriter(tmp_path / "columns", chunk_samples=2) as writer:
        writer.write_columns({"ids": column, "n": np.arange(3)})
    assert read(tmp_path / "columns")["ids"] == column
    assert sorted(path.name for path in (tmp_path / "columns" / "chunk-00001.columns").iterdir()) == [
        "ids.offsets.npy",
        "ids.values.npy",
        "n.npy",
    ]
    with ChunkWriter(tmp_path / "samples") as writer:
        for row in range(3):
            writer.write({"ids": column[row], "n": row})
    assert read(tmp_path / "samples")["ids"] == column


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_other_formats_take_them_as_lists(tmp_path, form):
    with ChunkWriter(tmp_path / "out", format=form) as writer:
        writer.write_columns({"ids": Ragged.from_rows([[1, 2], []])})
    assert specs_of(tmp_path / "out") == {"ids": "list"}


def test_bytes_beside_text_go_to_parquet(tmp_path):
    with ChunkWriter(tmp_path / "out") as writer:
        writer.write_columns({"image": Ragged.from_rows([b"a", b""]), "text": ["a", "b"]})
    assert specs_of(tmp_path / "out") == {"image": "bytes", "text": "str"}


@pytest.mark.parametrize(
    ("columns", "match"),
    [
        ({"x": Ragged.from_rows([[1]]), "y": [1]}, r"has columns \['x', 'y'\], but the rows before it have \['x'\]"),
        ({"x": Ragged.from_rows([b"a"])}, "has 'x' as ragged bytes, but the rows before it are int64"),
        ({"x": [1]}, "no rows of numbers"),
        ({"x": [None]}, "has null in column 'x'"),
        ({"x": Ragged(np.array([0], "M8[s]"), [0, 1])}, r"ragged datetime64\[s\], which no chunk holds"),
        ({"y": Ragged.from_rows([[1]])}, r"has columns \['y'\], but the rows before it have \['x'\]"),
    ],
)
def test_rows_unlike_those_before_are_an_error(tmp_path, columns, match):
    with (
        pytest.raises(SplitError, match=match),
        ChunkWriter(tmp_path / "out") as writer,
    ):
        writer.write_columns({"x": Ragged.from_rows([[1, 2], [3]])})
        writer.write_columns(columns)


def test_columns_that_would_be_read_as_a_ragged_one_are_refused(tmp_path):
    with (
        pytest.raises(
            SplitError, match=r"has the columns 'x\.values' and 'x\.offsets', which are the files of a ragged"
        ),
        ChunkWriter(tmp_path / "out") as writer,
    ):
        writer.write_columns({"x.values": np.arange(3), "x.offsets": np.arange(3), "y": np.arange(3)})
