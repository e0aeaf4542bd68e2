"""A value comes back as it was, whatever it is and whatever it is written to, or is refused by name."""

from __future__ import annotations

import datetime
import json
import marshal
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyloader.dataset import Dataset
from pyloader.errors import BatchEncodeError, SplitError
from pyloader.write import ChunkWriter, split

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

CASES = int(os.environ.get("PYLOADER_CASES", 2000)) // 20
FORMATS = [None, "jsonl", "jsonl.zst", "parquet", "columns"]

NUMBERS = st.one_of(
    st.integers(), st.sampled_from([2**53 + 1, 2**63 - 1, 2**63, -(2**63), 2**64]), st.floats(), st.just(-0.0)
)
TEXTS = st.one_of(st.text(max_size=5), st.sampled_from(["\ud800", "\0", "NaN", "null"]))
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS, st.binary(max_size=3), st.just(datetime.date(2024, 1, 1)))
NESTED = st.recursive(
    st.one_of(SCALARS, st.just((1, 2)), st.just({1, 2}), st.just(np.float32(0.1))),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.one_of(TEXTS, st.integers(0, 2)), inner, max_size=3)
    ),
    max_leaves=6,
)
# Columns as people have them, all of one kind with some gaps; and columns of anything.
KINDS = [NUMBERS, st.floats(), st.integers(-9, 9), TEXTS, st.booleans(), st.binary(max_size=3), NESTED]
KINDS += [st.lists(st.floats(), min_size=2, max_size=2), st.lists(st.integers(-9, 9), max_size=2)]
COLUMNS = st.sampled_from(KINDS).flatmap(
    lambda values: st.lists(st.one_of(values, values, values, st.none()) | values, min_size=3, max_size=3)
)
DTYPES = ["|b1", "<i1", "<i4", "<i8", ">i8", "<u1", "<u8", "<f2", "<f4", "<f8", ">f4", "<c8"]
DTYPES += ["<M8[D]", "<M8[ns]", "<m8[s]", "<U3", "|O", "|S2"]
ARRAYS = st.tuples(
    st.sampled_from(DTYPES),
    st.sampled_from([(), (2,), (2, 1), (0,)]),
    st.binary(min_size=96, max_size=96),
)


def is_mixed(values: list[Any]) -> bool:
    return {int, float} <= set(map(type, leaves(values)))


def leaves(value: Any) -> list[Any]:
    return [leaf for item in value for leaf in leaves(item)] if isinstance(value, list | tuple) else [value]


def by_the_rules(value: Any, *, as_fractions: bool) -> Any:
    """Return a value as docs/formats.md says that it comes back."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, list | tuple):
        return [by_the_rules(item, as_fractions=as_fractions) for item in value]
    if type(value) is float and math.isnan(value):
        return math.nan  # not its sign
    return float(value) if as_fractions and type(value) is int else value


@pytest.mark.slow
@settings(max_examples=CASES, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    columns=st.dictionaries(st.sampled_from(["a", "ü ", 'x"\\', "\n"]), COLUMNS, min_size=1, max_size=2),
    name=st.sampled_from(FORMATS),
)
def test_what_a_writer_takes_is_read_back_equal_in_value_and_type(
    columns: dict[str, list[Any]], name: str | None, tmp_path_factory: pytest.TempPathFactory, values: Any
) -> None:
    directory = tmp_path_factory.mktemp("values") / "chunks"
    try:
        with ChunkWriter(directory, format=name) as writer:
            for row in zip(*columns.values(), strict=True):
                writer.write(dict(zip(columns, row, strict=True)))
    except SplitError as exc:
        assert any(repr(key) in str(exc) or f" {key}: " in str(exc) for key in columns)
        return
    for key, given_values in columns.items():
        found = [value.tolist() if isinstance(value, np.ndarray) else value for value in values(directory, key)]
        numbers = name == "columns" or all(type(value) in (int, float, type(None)) for value in given_values)
        as_fractions = numbers and is_mixed(given_values)
        expected, found = ([by_the_rules(v, as_fractions=as_fractions) for v in each] for each in (given_values, found))
        assert marshal.dumps(found, 2) == marshal.dumps(expected, 2)


@pytest.mark.slow
@settings(max_examples=CASES, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arrays=st.lists(ARRAYS, min_size=1, max_size=2), name=st.sampled_from(FORMATS), with_text=st.booleans())
def test_arrays_come_back_with_their_dtype_or_as_the_numbers_of_json(
    arrays: list[Any], name: str | None, with_text: bool, tmp_path_factory: pytest.TempPathFactory, read_all: Any
) -> None:
    directory = tmp_path_factory.mktemp("arrays") / "chunks"
    columns: dict[str, Any] = {}
    for index, (dtype, shape, content) in enumerate(arrays):
        size = 3 * math.prod(shape)
        if dtype in ("|O", "<U3", "|S2"):
            flat = np.array(list("abcdef"), dtype)
        else:
            flat = np.frombuffer(content, "u1") % 2 == 1 if dtype == "|b1" else np.frombuffer(content, dtype)
        columns[f"x{index}"] = flat[:size].reshape(3, *shape)
    if with_text:
        columns["t"] = ["a", "b", "c"]
    try:
        with ChunkWriter(directory, format=name) as writer:
            writer.write_columns(columns)
    except SplitError as exc:
        assert any(repr(key) in str(exc) or f" {key}: " in str(exc) for key in columns)
        return
    (back,) = read_all(directory)
    for key, expected in columns.items():
        found = back[key]
        if isinstance(found, list):
            assert marshal.dumps(by_the_rules(found, as_fractions=False), 2) == marshal.dumps(
                by_the_rules(np.asarray(expected).tolist(), as_fractions=False), 2
            )
        else:
            np.testing.assert_array_equal(found, expected)
            is_json = any(directory.glob("*.jsonl*"))
            assert found.dtype == expected.dtype.newbyteorder("=") or (is_json and found.dtype.kind in "if")


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        (math.inf, r"sample 1 has inf in column 'x', which JSON cannot hold\. .* format=\"parquet\""),
        (-math.inf, "sample 1 has -inf in column 'x', which JSON cannot hold"),
        ([1.0, math.nan], r"sample 1 has \[1.0, nan\] in column 'x', which JSON cannot hold\. .* format=\"parquet\""),
        ({"y": math.inf}, r"sample 1 has \{'y': inf\} in column 'x', which JSON cannot hold"),
        (b"x", r"sample 1 has a bytes \(b'x'\) in column 'x', which JSON cannot hold"),
        ("\ud800", r"sample 1 has '\\ud800' in column 'x', with half of a surrogate pair"),
        ({1, 2}, r"sample 1 has a set \(\{1, 2\}\) in column 'x'"),
        ([(1, 2)], r"sample 1 has \[\(1, 2\)\] in column 'x', which JSON cannot hold\.$"),
        ({1: 2}, r"sample 1 has \{1: 2\} in column 'x', which JSON cannot hold\.$"),
        (datetime.date(2024, 1, 1), r"sample 1 has a date \(datetime.date\(2024, 1, 1\)\) in column 'x'"),
        (2**63, r"sample 1 has 9223372036854775808 in column 'x', which int64 cannot hold\. Write it as text"),
    ],
    ids=repr,
)
def test_a_value_that_would_come_back_changed_is_refused_with_its_column_and_sample(
    bad: Any, complaint: str, tmp_path: Path
) -> None:
    with pytest.raises(SplitError, match=complaint), ChunkWriter(tmp_path / "chunks", format="jsonl") as writer:
        writer.write({"x": None})
        writer.write({"x": bad})


def test_the_remedy_of_a_refused_value_works(tmp_path: Path, values: Any) -> None:
    rows = [None, math.inf, -math.inf, math.nan]
    with ChunkWriter(tmp_path / "chunks", format="parquet") as writer:
        for value in rows:
            writer.write({"x": value, "y": [1.0, value], "z": {"k": value}})
    assert values(tmp_path / "chunks", "x")[:3] == rows[:3]
    assert math.isnan(values(tmp_path / "chunks", "x")[3])
    assert values(tmp_path / "chunks", "y")[2] == [1.0, -math.inf]
    assert values(tmp_path / "chunks", "z")[1] == {"k": math.inf}


def test_nan_beside_null_or_text_is_refused_by_json_wherever_the_two_meet(tmp_path: Path) -> None:
    for other in (None, "text", True):
        for rows in ([math.nan, other], [other, math.nan], [math.nan, *[1.5] * 300, other]):
            refused = pytest.raises(SplitError, match=r"in column 'x', where NaN and .* meet")
            with refused, ChunkWriter(tmp_path / "chunks", format="jsonl") as writer:
                for value in rows:
                    writer.write({"x": value})


def test_numbers_that_json_would_widen_go_to_parquet_by_themselves(tmp_path: Path, read_all: Any) -> None:
    with ChunkWriter(tmp_path / "chunks") as writer:
        for index in range(3):
            vector = np.full(4, index, np.float16)
            writer.write({"text": "t", "score": np.float32(0.1), "vector": vector, "big": np.uint64(2**64 - 1)})
    (back,) = read_all(tmp_path / "chunks")
    assert back["text"] == ["t"] * 3
    assert (back["score"].dtype, back["vector"].dtype, back["big"].dtype) == (np.float32, np.float16, np.uint64)
    assert back["big"].tolist() == [2**64 - 1] * 3


def test_whole_numbers_that_float64_would_round_are_not_mixed_with_fractions(tmp_path: Path) -> None:
    (tmp_path / "dump.jsonl").write_text(f'{{"x": {2**53 + 1}}}\n{{"x": 0.5}}\n')
    for name in ("parquet", "columns"):
        with pytest.raises(SplitError, match=f"{2**53 + 1}.*, among (fractions|floats)"):
            split(tmp_path / "dump.jsonl", tmp_path / name, output_format=name, num_chunks=1)


@pytest.mark.parametrize("name", ["jsonl", "parquet", "columns"])
def test_arrays_that_are_no_rows_of_numbers_are_refused(name: str, tmp_path: Path) -> None:
    for column, complaint in (
        (np.array([{}, None], object), "has an array of Python objects in column 'x'; give a list"),
        (np.zeros((3, 0)), r"has rows of no bytes in column 'x', of shape \[0\]"),
        (np.zeros(2, [("a", "i4")]), "has an array of named fields in column 'x'"),
    ):
        with pytest.raises(SplitError, match=complaint), ChunkWriter(tmp_path / "chunks", format=name) as writer:
            writer.write_columns({"x": column})


def test_rows_of_no_bytes_in_a_file_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "z.npy", np.zeros((3, 0), "f4"))
    with pytest.raises(SplitError, match=r"z\.npy: has 3 rows of no bytes: float32 of shape \[0\]"):
        split(tmp_path / "z.npy", tmp_path / "chunks")
    np.savez(tmp_path / "z.npz", x=np.arange(3), z=np.zeros((3, 0)))
    with pytest.raises(SplitError, match=r"z\.npz\[z\]: has 3 rows of no bytes: .* leave this array out"):
        split(tmp_path / "z.npz", tmp_path / "chunks")
    assert split(tmp_path / "z.npz", tmp_path / "chunks", columns=["x"]).outputs[0].num_samples == 3


def test_a_column_never_writes_outside_of_its_chunk(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", **{"../../evil": np.arange(3)})
    with pytest.raises(SplitError, match=r"has the column '\.\./\.\./evil', and columns are files"):
        split(tmp_path / "x.npz", tmp_path / "chunks")
    assert not list(tmp_path.rglob("evil*"))


def test_columns_are_chosen_before_anything_else_is_judged(tmp_path: Path, values: Any) -> None:
    np.savez(tmp_path / "f.npz", x=np.arange(4), classes=np.array(["cat", "dog"]))
    split(tmp_path / "f.npz", tmp_path / "npz", columns=["x"])
    assert values(tmp_path / "npz", "x") == [0, 1, 2, 3]
    with pytest.raises(SplitError, match=r"f\.npz: has no column 'y'; it has x, classes"):
        split(tmp_path / "f.npz", tmp_path / "none", columns=["x", "y"])
    (tmp_path / "d.csv").write_text("a,a,b\n1,2,3\n")
    with pytest.raises(SplitError, match=r"d\.csv:1: has two columns called 'a'\. .* --columns b"):
        split(tmp_path / "d.csv", tmp_path / "csv")
    split(tmp_path / "d.csv", tmp_path / "csv", columns=["b"])
    assert values(tmp_path / "csv", "b") == [3]
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2]), pa.array([3])], names=["a", "a", "b"])
    pq.write_table(table, tmp_path / "d.parquet")
    with pytest.raises(SplitError, match=r"d\.parquet: has two columns called 'a'\. .* --columns b"):
        split(tmp_path / "d.parquet", tmp_path / "parquet")
    split(tmp_path / "d.parquet", tmp_path / "parquet", columns=["b"])
    assert values(tmp_path / "parquet", "b") == [3]


def test_a_line_that_is_no_object_is_told_what_to_write(tmp_path: Path) -> None:
    (tmp_path / "dump.jsonl").write_text(json.dumps([1]) + "\n")
    with pytest.raises(
        SplitError, match=r'is a list, not an object with keys\. Write a line like \{"text": "\.\.\."\}, or'
    ):
        split(tmp_path / "dump.jsonl", tmp_path / "chunks")


class Doubled(Dataset):
    def batch_encode(self, columns: Any) -> Any:
        return {"text": columns["text"] * 2}


def test_an_encoder_that_makes_more_rows_is_told_what_takes_any_number(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    complaint = r"got 2 rows and returned 4\. Say so, where that is meant: changes_rows = True in the class"
    with pytest.raises(BatchEncodeError, match=complaint):
        split(tmp_path / "a.txt", tmp_path / "chunks", encode=Doubled())


def test_a_split_of_strings_and_of_complex_numbers_in_arrays_is_read_back_or_refused(
    tmp_path: Path, values: Any
) -> None:
    with ChunkWriter(tmp_path / "text", format="parquet") as writer:
        writer.write_columns({"word": np.array(["ab", "c"])})
    assert values(tmp_path / "text", "word") == ["ab", "c"]
    refused = pytest.raises(SplitError, match=r"has a complex .* in column 'x', which no record can hold")
    with refused, ChunkWriter(tmp_path / "complex", format="parquet") as writer:
        writer.write_columns({"x": np.zeros(2, "c8")})


def test_dates_that_arrow_would_cut_are_refused(tmp_path: Path) -> None:
    for date in ("NaT", np.datetime64(2**40, "D")):
        refused = pytest.raises(SplitError, match=r"in column 'day', which Parquet cannot hold")
        with refused, ChunkWriter(tmp_path / "chunks", format="parquet") as writer:
            writer.write_columns({"day": np.array(["2024-01-01", date], "M8[D]")})


def test_images_beside_text_stay_json_lines_whatever_the_dtype_of_their_labels(tmp_path: Path, values: Any) -> None:
    with ChunkWriter(tmp_path / "chunks") as writer:
        writer.write({"image": np.ones((2, 2), np.uint8), "caption": "one", "label": np.int32(1)})
    assert values(tmp_path / "chunks", "image") == [[[1, 1], [1, 1]]]
    assert values(tmp_path / "chunks", "label") == [1]
    refused = pytest.raises(SplitError, match=r"sample 0 has \[\[nan\]\] in column 'image', which JSON cannot hold\.$")
    with refused, ChunkWriter(tmp_path / "nan") as writer:
        writer.write({"image": np.full((1, 1), math.nan), "caption": "one"})
