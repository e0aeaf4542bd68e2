"""Rows of unequal length are written as ragged columns, and come back as they were."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from products import examples

from pyloader import ChunkWriter, Dataset, NumpyReader, Ragged, compact, split
from pyloader.columns import concatenate_columns
from pyloader.errors import OutputDirError, SplitError
from pyloader.files import checksum_of, read_manifest
from pyloader.write.input_files import input_file
from pyloader.write.layout import Layout
from pyloader.write.ragged_files import RaggedFile, ragged_windows
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


class Numbers(Dataset):
    def batch_encode(self, columns):
        return {"numbers": [list(map(int, text.split())) for text in columns["text"]]}


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


@pytest.mark.slow
@settings(max_examples=examples(100))
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("odd", "dtype"), [("a", "uint8"), ("\u3042", "uint16"), ("\U0001f600", "int32")], ids=["uint8", "uint16", "int32"]
)
@pytest.mark.parametrize(
    "options",
    [
        {"chunk_samples": 900},
        {"chunk_samples": 900, "shuffle": True},
        {"chunk_bytes": 9000, "output_format": "columns"},
    ],
    ids=["", "shuffle", "to"],
)
def test_lists_of_integers_become_the_smallest_dtype_that_holds_all(tmp_path, small_steps, odd, dtype, options):
    small_steps()
    texts = ["x" * (number % 7) for number in range(5000)]
    texts[4000] += odd  # far from the first rows
    out = tmp_path / "out"
    split(dump(tmp_path / "a.txt", texts), out, encode=Letters(), progress=False, **options)
    assert specs_of(out) == {"letters": f"ragged {dtype}", "n": "int64"}
    columns = read(out)
    assert columns["letters"].dtype == dtype
    found = ["".join(map(chr, letters)) for letters in columns["letters"].to_list()]
    assert (sorted(found) if options.get("shuffle") else found) == (sorted(texts) if options.get("shuffle") else texts)
    assert columns["n"].tolist() == columns["letters"].lengths.tolist()


@pytest.mark.slow
def test_the_same_command_writes_the_same_chunks(tmp_path, small_steps):
    small_steps()
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
    with pytest.raises(SplitError, match=r"a\.txt:3000: has 'letters' as no rows of numbers"):
        split(dump(tmp_path / "a.txt", texts), tmp_path / "out", encode=Mixed(), progress=False)


def test_integers_that_no_dtype_holds_together_are_an_error_that_names_the_line(tmp_path, small_steps):
    small_steps()
    texts = ["1 2", "3", *["4"] * 3000, str(2**63), *["5"] * 3000, "-1", *["6"] * 100]
    with pytest.raises(
        SplitError, match=r"a\.txt:\d+: has 'numbers' as ragged int8, but the rows before it are uint64"
    ):
        split(dump(tmp_path / "a.txt", texts), tmp_path / "out", encode=Numbers(), progress=False)


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


@pytest.fixture
def in_parts(tmp_path):
    """A set of five chunks, four of them small: the letters of nine texts, of one each, and nothing in the last."""
    out = tmp_path / "out"
    texts = [["abc", "d", "", "\u3042", "e", "f", "gh", "i", "j"], ["k"], ["lm"], ["\u3043"], [""]]
    for number, part in enumerate(texts):
        options = {"append": True} if number else {"chunk_samples": 9}
        split(dump(tmp_path / f"{number}.txt", part), out, encode=Letters(), progress=False, **options)
    return out, [text for part in texts for text in part]


@pytest.mark.slow
def test_what_is_added_has_the_dtype_of_what_is_there(in_parts):
    out, texts = in_parts
    assert specs_of(out) == {"letters": "ragged uint16", "n": "int64"}
    columns = read(out)
    assert ["".join(map(chr, letters)) for letters in columns["letters"].to_list()] == texts
    assert columns["letters"].dtype == np.uint16


@pytest.mark.slow
def test_what_needs_a_wider_dtype_cannot_be_added(in_parts, tmp_path):
    source = dump(tmp_path / "wide.txt", ["\U0001f600", "a"])
    with pytest.raises(
        OutputDirError, match="has 'letters' as ragged rows of int32, not 'letters' as ragged rows of uint1"
    ):
        split(source, in_parts[0], encode=Letters(), append=True, progress=False)


@pytest.mark.slow
def test_small_chunks_are_joined(in_parts):
    out, texts = in_parts
    (report,) = compact(out, progress=False)
    assert (report.num_joined, report.num_written) == (4, 1)
    manifest = read_manifest(out / "manifest.json")
    chunks = [NumpyReader().read_file(str(out / chunk.file))[0] for chunk in manifest.chunks]
    letters = concatenate_columns(chunks)["letters"]
    assert ["".join(map(chr, each)) for each in letters.to_list()] == texts
    assert [chunk.checksum for chunk in manifest.chunks] == [checksum_of(out / chunk.file) for chunk in manifest.chunks]


def test_a_damaged_chunk_is_not_joined(in_parts):
    out, _ = in_parts
    chunk = out / read_manifest(out / "manifest.json").chunks[1].file
    np.save(chunk / "letters.offsets.npy", np.array([0, 9]))
    with pytest.raises(SplitError, match=r"letters\.values\.npy.* are no ragged column: offsets go from 0 to 9"):
        compact(out, progress=False)


@settings(max_examples=examples(60))
@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=5), min_size=1, max_size=4), st.data())
def test_windows_of_several_files_are_the_rows_in_order(tmp_path_factory, lengths, data):
    place = tmp_path_factory.mktemp("files")
    files, rows = [], []
    for number, each in enumerate(lengths):
        column = Ragged(np.arange(sum(each)) + 100 * number, np.cumsum([0, *each]))
        np.save(place / f"{number}.values.npy", column.values)
        np.save(place / f"{number}.offsets.npy", column.offsets)
        parts = (input_file(str(place / f"{number}.{part}.npy")) for part in ("values", "offsets"))
        files.append(RaggedFile(*parts))
        rows += column.to_list()
    start, window = data.draw(st.integers(0, len(rows))), data.draw(st.integers(1, 7))
    windows = [each.to_list() for each in ragged_windows(files, start, window)]
    assert [row for each in windows for row in each] == rows[start:]
    assert all(len(each) == window for each in windows[:-1])


GOLDEN = Path(__file__).parents[1] / "golden" / "ragged.columns"
GOLDEN_COLUMNS = {
    "tokens": Ragged.from_rows([[7, 8, 9], [], [50_000]], dtype="uint16"),
    "image": Ragged.from_rows([b"\x89PNG", b"", b"\0"]),
    "scores": Ragged.from_rows([[], [0.5, -1], [2]], dtype="float32"),
    "pixels": Ragged.from_rows([[1], [2, 255], []], dtype="uint8"),
    "label": np.array([3, 1, 2]),
}


def test_chunks_of_earlier_versions_are_read_as_they_were():
    assert NumpyReader().read_file(str(GOLDEN))[0].keys() == GOLDEN_COLUMNS.keys()
    np.testing.assert_equal(NumpyReader().read_file(str(GOLDEN))[0], GOLDEN_COLUMNS)


def test_chunks_are_written_as_earlier_versions_wrote_them(tmp_path):
    with ChunkWriter(tmp_path) as writer:
        writer.write_columns(GOLDEN_COLUMNS)
    (chunk,) = tmp_path.glob("*.columns")
    assert {file.name: file.read_bytes() for file in chunk.iterdir()} == {
        file.name: file.read_bytes() for file in GOLDEN.iterdir()
    }
