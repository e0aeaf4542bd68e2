"""CSV and TSV: every field where it belongs, or an error that names the line."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyloader.errors import ChunkReadError
from pyloader.files.compressors import COMPRESSORS, open_packed
from pyloader.read.delimited import DelimitedReader
from pyloader.testing import check_reader


@pytest.fixture
def chunk(tmp_path):
    def write(text: str, name: str = "a.csv") -> str:
        with open_packed(tmp_path / name, "wb") as file:
            file.write(text.encode())
        return str(tmp_path / name)

    return write


def read(path: str, **options):
    columns, num_samples = DelimitedReader(**options).read_file(path)
    assert all(len(column) == num_samples for column in columns.values())
    return columns


# Letters first, so that no column is all numbers; no lone "\r", which the csv module takes for a line's end.
fields = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=10).map(lambda text: f"x{text}")


@pytest.mark.slow
@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
@given(rows=st.integers(1, 4).flatmap(lambda n: st.lists(st.lists(fields, min_size=n, max_size=n), min_size=1)))
def test_what_csv_writes_is_read(tmp_path_factory, delimiter, rows):
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows(rows)
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_bytes(text.getvalue().encode())
    columns = read(str(path), delimiter=delimiter, header=False)
    assert columns == {str(place): [row[place] for row in rows] for place in range(len(rows[0]))}


@pytest.mark.parametrize("packing", ["", *COMPRESSORS])
def test_the_contract_holds_for_every_packing(chunk, packing):
    path = chunk('text,n,x\r\n"one, ""two""\nthree",1,0.5\r\n\r\nfour,-2,1e3\r\n', f"a.csv{packing}")
    columns = check_reader(DelimitedReader(), path)
    assert columns["text"] == ['one, "two"\nthree', "four"]
    assert (columns["n"].dtype, columns["n"].tolist()) == (np.int64, [1, -2])
    assert (columns["x"].dtype, columns["x"].tolist()) == (np.float64, [0.5, 1000.0])


def test_tabs_stand_between_the_fields_of_tsv(chunk):
    assert read(chunk("a\tb\nx,y\tz\n", "a.tsv.gz")) == {"a": ["x,y"], "b": ["z"]}


@pytest.mark.parametrize(
    "field", [" ", "null", "007", "+1", "0x10", "1_000", ".5", "1,2", "nan", "true", "9223372036854775808"]
)
def test_one_field_that_json_does_not_call_a_number_keeps_the_column_text(chunk, field):
    assert read(chunk(f'a,b\n1,x\n"{field}",x\n'))["a"] == ["1", field]


@pytest.mark.parametrize(
    ("fields", "values"),
    [
        (["1", "", "3"], [1, None, 3]),
        (["", "0.5", "2", ""], [None, 0.5, 2.0, None]),
        (["", ""], [None, None]),
        (["1", "", "null"], ["1", "", "null"]),
        (["1", "", "2,3"], ["1", "", "2,3"]),
        (["x", ""], ["x", ""]),
        (["1", "", "9223372036854775808"], ["1", "", "9223372036854775808"]),
        (["0.5", "", "9007199254740993"], ["0.5", "", "9007199254740993"]),
    ],
)
def test_empty_fields_among_numbers_are_none_and_among_text_are_empty(chunk, fields, values):
    rows = "".join(f'"{field}",x\n' for field in fields)
    (found, _) = read(chunk(f"a,b\n{rows}")).values()
    assert found == values
    assert list(map(type, found)) == list(map(type, values))


def test_a_column_of_object_is_a_list_of_numbers_whether_it_has_gaps_or_not(chunk):
    dtypes = {"a": object, "b": object, "c": object}
    columns = read(chunk("a,b,c\n1,2,\n3,,\n"), dtypes=dtypes)
    assert columns == {"a": [1, 3], "b": [2, None], "c": [None, None]}
    assert list(map(type, columns["a"])) == [int, int]
    with pytest.raises(ChunkReadError, match=r"a\.csv:4: 'b' is 'z', which is no number.*Leave it out of dtypes"):
        read(chunk("a,b,c\n1,2,\n\n3,z,\n"), dtypes=dtypes)


def test_dtypes_are_kept_and_str_stays_text(chunk):
    columns = read(chunk("zip,x,n\n12345,nan,007\n99999,.5,+1\n"), dtypes={"zip": str, "x": "float32", "n": "int16"})
    assert columns["zip"] == ["12345", "99999"]
    assert columns["x"].dtype == np.float32
    np.testing.assert_equal(columns["x"], np.float32([np.nan, 0.5]))
    assert (columns["n"].dtype, columns["n"].tolist()) == (np.int16, [7, 1])


@pytest.mark.parametrize(
    ("text", "dtype", "match"),
    [
        ("a,b\n1,x\n\nz,x\n", "int32", r"a\.csv:4: 'a' is 'z', which is no int32\. Leave it out of dtypes"),
        ("a,b\n1,x\n300,x\n", "uint8", r"a\.csv:3: 'a' is 300, which uint8 cannot hold"),
        ('a,b\n1,"x\ny"\n1.5,x\n', "int32", r"a\.csv:4: 'a' is '1\.5', which is no int32"),
    ],
)
def test_a_field_that_does_not_fit_its_dtype_is_an_error_that_names_the_line(chunk, text, dtype, match):
    with pytest.raises(ChunkReadError, match=match):
        read(chunk(text), dtypes={"a": dtype})


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("a,b\n1,2\n3\n", r"a\.csv:3: has 1 fields, but there are 2 columns, \['a', 'b'\]\. Quote fields"),
        ('a,b\n"x\ny",2\n3,4,5\n', r"a\.csv:4: has 3 fields"),
        ('a,b\n1,"x\n', r"a\.csv:2: is not well-formed \(unexpected end of data\)\. A quote is not closed"),
        ('a,b\n1,"x"y\n', r"a\.csv:2: is not well-formed \(',' expected after '\"'\)"),
        ("a,a\n1,2\n", r"a\.csv:1: names the column 'a' twice"),
    ],
)
def test_a_row_that_is_wrong_is_an_error_that_names_the_line(chunk, text, match):
    with pytest.raises(ChunkReadError, match=match):
        read(chunk(text))


def test_columns_are_those_named_in_that_order(chunk):
    assert list(read(chunk("a,b,c\nx,y,z\n"), columns=["c", "a"]).items()) == [("c", ["z"]), ("a", ["x"])]
    with pytest.raises(ChunkReadError, match=r"a\.csv:1: has columns \['a'\], and no 'b'"):
        read(chunk("a\nx\n"), columns=["b"])


def test_without_a_header_columns_are_counted_or_named(chunk):
    path = chunk("x,1\ny,2\n")
    assert list(read(path, header=False)) == ["0", "1"]
    columns = read(path, header=False, columns=["name", "n"], dtypes={"n": "float32"})
    assert columns["name"] == ["x", "y"]
    assert columns["n"].dtype == np.float32
    with pytest.raises(ChunkReadError, match=r"a\.csv:1: has 2 fields, and columns names 1\. Without a header"):
        read(path, header=False, columns=["name"])


def test_a_long_document_fits_in_a_field(chunk):
    assert read(chunk(f'text\n"{"x" * 300_000}"\n')) == {"text": ["x" * 300_000]}


@pytest.mark.parametrize("text", ["", "\n\n", "a,b\n"])
def test_a_file_without_rows_has_no_samples_but_the_columns_that_are_known(chunk, text):
    assert DelimitedReader().read_file(chunk(text)) == ({}, 0)
    columns = read(chunk(text), columns=["a", "b"], dtypes={"a": "float32", "b": str})
    assert columns["b"] == []
    assert (columns["a"].dtype, columns["a"].shape) == (np.float32, (0,))


def test_text_that_is_not_utf8_names_the_line(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"a,b\n1,caf\xe9\n")
    with pytest.raises(ChunkReadError, match=r"a\.csv:2: is not UTF-8: byte 0xe9"):
        read(str(tmp_path / "a.csv"))


def test_a_cut_packed_file_names_the_line(chunk, tmp_path):
    path = chunk("a,b\n" + "x,y\n" * 3, "a.csv.gz")
    with open(path, "rb") as file:
        whole = file.read()
    with open(path, "wb") as file:
        file.write(whole[:-1])
    with pytest.raises(ChunkReadError, match=r"ends early, inside line 5\."):
        read(path)
