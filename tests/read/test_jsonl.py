"""JSON lines: the same columns as json.loads gives, or an error that names the line."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyloader import DataLoader
from pyloader.errors import ChunkReadError, SplitError
from pyloader.files.compressors import COMPRESSORS, open_packed
from pyloader.read.jsonl import JsonLineDataReader, JsonlReader
from pyloader.testing import check_reader
from pyloader.write.splitter import split

DATA = Path(__file__).resolve().parents[1] / "data"

texts = st.text(st.characters(codec="utf-8"), max_size=15)
scalars = st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    scalars | texts, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=2)
)


@pytest.fixture
def chunk(tmp_path):
    def write(text: str | bytes, name: str = "a.jsonl") -> str:
        with open_packed(tmp_path / name, "wb") as file:
            file.write(text if isinstance(text, bytes) else text.encode())
        return str(tmp_path / name)

    return write


def read(path: str, **options):
    columns, num_samples = JsonlReader(**options).read_file(path)
    assert all(len(column) == num_samples for column in columns.values())
    return columns


def as_lists(columns):
    return {name: column.tolist() if isinstance(column, np.ndarray) else column for name, column in columns.items()}


@pytest.mark.slow
@given(st.data())
def test_it_reads_what_json_reads(tmp_path_factory, data):
    keys = data.draw(st.lists(texts, min_size=1, max_size=4, unique=True))
    kind = st.one_of(texts, st.integers(-(2**53), 2**53), st.booleans(), values)
    rows = data.draw(st.lists(st.fixed_dictionaries(dict.fromkeys(keys, kind)), min_size=1, max_size=10))
    escaped = data.draw(st.booleans())
    path = tmp_path_factory.mktemp("json") / "a.jsonl"
    path.write_bytes("".join(json.dumps(row, ensure_ascii=escaped) + "\n" for row in rows).encode())
    try:
        got = as_lists(read(str(path)))
    except ChunkReadError as exc:  # an int among floats that float64 cannot hold
        assert "float64 cannot hold it exactly" in str(exc)
        return
    expected = {key: [json.loads(json.dumps(row[key])) for row in rows] for key in keys}
    assert got == expected
    for key in keys[:1]:
        assert as_lists(read(str(path), columns=[key])) == {key: expected[key]}


@pytest.mark.parametrize("packing", ["", *COMPRESSORS])
def test_the_contract_holds_for_every_packing(chunk, packing):
    lines = [
        {"text": f"line {n} \u2028 é", "label": n, "score": n / 7, "good": n % 2 == 0, "tags": ["a"] * n}
        for n in range(50)
    ]
    path = chunk("".join(json.dumps(line) + "\n" for line in lines), f"a.jsonl{packing}")
    columns = check_reader(JsonlReader(), path)
    assert {name: getattr(column, "dtype", list) for name, column in columns.items()} == {
        "text": list,
        "label": np.int64,
        "score": np.float64,
        "good": np.bool_,
        "tags": list,
    }
    assert as_lists(columns) == {key: [line[key] for line in lines] for key in lines[0]}


def test_gsm8k_is_read_whole():
    path = DATA / "gsm8k_train.jsonl"
    columns = read(str(path))
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    assert len(lines) == 200
    assert columns == {key: [json.loads(line)[key] for line in lines] for key in ("question", "answer")}


DEEP = '{"a": ' + "[" * 50_000 + "]" * 50_000 + "}\n"


def test_objects_that_are_nested_too_deep_are_an_error_of_their_line(chunk):
    path = chunk('{"a": 1}\n' + DEEP + '{"a": 2}\n')
    with pytest.raises(ChunkReadError, match=r"a\.jsonl:2: is nested too deep\. Flatten it, or leave the line out"):
        read(path)
    columns, num_rows, bad_rows = JsonlReader().read_damaged_file(path)
    assert (columns["a"].tolist(), num_rows, list(bad_rows)) == ([1, 1, 2], 3, [1])
    with DataLoader(data_dir=path, max_skipped=1) as loader:
        assert [batch["a"].tolist() for batch in loader] == [[1, 2, 2]]
    with pytest.raises(SplitError, match=r"a\.jsonl:2: is not JSON"):
        split(path, f"{path}.chunks", num_chunks=1)


def test_files_of_many_blocks_are_read_whole(chunk):
    path = chunk("".join(f'{{"n": {n}, "text": "{"x" * (n % 3000)}"}}\n' for n in range(3000)))
    columns = read(path)
    assert columns["n"].tolist() == list(range(3000))
    assert [len(text) for text in columns["text"]] == [n % 3000 for n in range(3000)]


def test_blank_lines_are_left_out(chunk):
    assert read(chunk('\n\n{"a": "x"}\r\n   \n{"a": "y"}\n\t\n\n')) == {"a": ["x", "y"]}


def test_a_last_line_without_its_newline_counts(chunk):
    assert read(chunk('{"a": "x"}\n{"a": "y"}')) == {"a": ["x", "y"]}


def test_a_byte_order_mark_is_left_out(chunk):
    assert read(chunk(b'\xef\xbb\xbf{"a": "x"}\n')) == {"a": ["x"]}


# Keys


def test_other_keys_are_an_error_that_names_the_line(chunk):
    path = chunk('{"text": "x", "n": 1}\n{"text": "x", "n": 1}\n\n{"label": 1, "text": "y", "n": 2}\n')
    match = (
        r"a\.jsonl:4: has keys \['label', 'text', 'n'\], but line 1 has \['text', 'n'\]\. "
        r"Pass columns=\['text', 'n'\] to read only the shared ones$"
    )
    with pytest.raises(ChunkReadError, match=match):
        read(path)


def test_one_key_more_is_an_error_too(chunk):
    with pytest.raises(ChunkReadError, match=r"a\.jsonl:2: has keys \['a', 'b'\], but line 1 has \['a'\]"):
        read(chunk('{"a": "x"}\n{"a": "y", "b": "z"}\n'))


def test_lines_are_counted_over_many_blocks(chunk):
    for bad in ('{"b": 1}', '{"a": "x", "n": 9223372036854775808}', '{"a"'):
        good = [f'{{"a": "{"x" * 1000}", "n": 1}}'] * 3000
        with pytest.raises(ChunkReadError, match=r"a\.jsonl:3001: "):
            read(chunk("\n".join([*good, bad, *good])))


def test_missing_keys_are_an_error_that_names_the_line(chunk):
    path = chunk('\n{"text": "x", "n": 1}\n{"text": "x"}\n')
    match = r"a\.jsonl:3: has keys \['text'\], but line 2 .* Pass columns=\['text'\] .*, or fill=\{'n': \.\.\.\}"
    with pytest.raises(ChunkReadError, match=match):
        read(path)


def test_no_shared_keys_are_an_error_too(chunk):
    with pytest.raises(
        ChunkReadError, match=r"a\.jsonl:2: has keys \['label'\], but line 1 has \['text'\]\. Split the two"
    ):
        read(chunk('{"text": "x"}\n{"label": "y"}\n'))


def test_columns_are_those_named_in_that_order(chunk):
    path = chunk('{"a": 1, "b": "x", "c": {"d": [1]}}\n{"e": 0, "b": "y", "a": 2}\n')
    columns = read(path, columns=["b", "a"])
    assert list(columns) == ["b", "a"]
    assert as_lists(columns) == {"b": ["x", "y"], "a": [1, 2]}


def test_a_named_column_that_is_missing_is_an_error(chunk):
    with pytest.raises(ChunkReadError, match=r"a\.jsonl:2: has keys \['b'\], and no 'a'\. Pass fill=\{'a': \.\.\.\}"):
        read(chunk('{"a": 1, "b": 1}\n{"b": 2}\n'), columns=["a"])


def test_missing_and_null_are_filled_as_the_user_says(chunk):
    path = chunk('{"a": 1, "b": "x"}\n{"b": null}\n{"a": null, "b": "y", "c": 3}\n')
    columns = read(path, fill={"a": math.nan, "b": "", "c": 7})
    assert columns["a"].dtype == np.float64
    np.testing.assert_equal(columns["a"], [1, math.nan, math.nan])
    assert as_lists(columns)["b"] == ["x", "", "y"]
    assert columns["c"].tolist() == [7, 7, 3]


def test_null_without_fill_stays_none(chunk):
    assert read(chunk('{"a": 1}\n{"a": null}\n')) == {"a": [1, None]}


def test_keys_that_need_escaping_are_read_and_checked_too(chunk):
    path = chunk('{"say \\"hi\\"": 1, "b\\\\": "x"}\n{"say \\"hi\\"": 2, "b\\\\": "y"}\n')
    assert as_lists(read(path)) == {'say "hi"': [1, 2], "b\\": ["x", "y"]}
    with pytest.raises(ChunkReadError, match=r"a\.jsonl:2: has keys \['a', '\"'\], but line 1 has \['\"'\]"):
        read(chunk('{"\\"": 1}\n{"a": 1, "\\"": 1}\n'))


def test_one_name_is_not_a_list_of_names():
    with pytest.raises(TypeError, match=r"columns must be a list of names: columns=\['text'\]"):
        JsonlReader(columns="text")


# Numbers


def test_ints_and_floats_together_are_floats_and_bools_with_ints_a_list(chunk):
    columns = read(chunk('{"a": 1, "b": true}\n{"a": 0.5, "b": 1}\n'))
    assert columns["a"].dtype == np.float64
    assert columns["b"] == [True, 1]


@pytest.mark.parametrize(
    ("lines", "dtype", "match"),
    [
        (
            '{"a": 1}\n\n{"a": 9223372036854775808}',
            None,
            r":3: 'a' is 9223372036854775808, which int64 cannot hold\. Name",
        ),
        ('{"a": 0.5}\n{"a": 9007199254740993}', None, r":2: 'a' is 9007199254740993, among floats, and float64 cannot"),
        ('{"a": 1}\n{"a": 1.5}', "int32", r":2: 'a' is 1\.5, which int32 cannot hold"),
        ('{"a": 2.0}\n{"a": 9007199254740993}', "int64", r":2: 'a' is 9007199254740993, which int64 cannot hold"),
        ('{"a": [2.0, 9007199254740993]}', "int64", r":1: 'a' is a list of 2, which int64 cannot hold"),
        ('{"a": 1}\n{"a": 256}', "uint8", r":2: 'a' is 256, which uint8 cannot hold"),
        ('{"a": 1}\n{"a": -1}', "uint64", r":2: 'a' is -1, which uint64 cannot hold"),
        ('{"a": 1}\n{"a": 1e39}', "float32", r":2: 'a' is 1e\+39, which float32 cannot hold"),
        ('{"a": 1}\n{"a": "x"}', "int32", r":2: 'a' is a str \('x'\), not a number"),
        ('{"a": 1}\n{"a": null}', "int32", r":2: 'a' is null \(None\), not a number"),
        ('{"a": [1, 2]}\n{"a": [1, 2]}\n{"a": [1]}', "f4", r":3: 'a' is a list of 1; the first row's is a list of 2"),
        ('{"a": [1]}\n{"a": ["x"]}', "f4", r":2: 'a' is a list of 1, which float32 cannot hold"),
        ('{"a": [1, 2]}\n{"a": [1, 2]}', ("f4", 3), r":1: 'a' has rows of shape \[2\], not \[3\]"),
    ],
)
def test_a_number_that_does_not_fit_is_an_error_that_names_the_line(chunk, lines, dtype, match):
    with pytest.raises(ChunkReadError, match=r"a\.jsonl" + match):
        read(chunk(lines + "\n"), dtypes=dtype and {"a": dtype})


@pytest.mark.parametrize(
    ("lines", "dtype", "expected"),
    [
        ('{"a": 1}\n{"a": 2.0}', "int32", [1, 2]),
        ('{"a": 1}\n{"a": 0.1}', "float32", [1, 0.1]),
        ('{"a": 18446744073709551615}\n{"a": 0}', "uint64", [2**64 - 1, 0]),
        ('{"a": true}\n{"a": false}', "uint8", [1, 0]),
        ('{"a": [1, 2]}\n{"a": [3, 4.5]}', "float16", [[1, 2], [3, 4.5]]),
        ('{"a": [[1], [2]]}\n{"a": [[3], [4]]}', ("i8", (2, 1)), [[[1], [2]], [[3], [4]]]),
    ],
)
def test_dtypes_are_kept(chunk, lines, dtype, expected):
    column = read(chunk(lines), dtypes={"a": dtype})["a"]
    assert column.dtype == np.dtype(dtype).base
    np.testing.assert_array_equal(column, np.array(expected, np.dtype(dtype).base))


def test_dtypes_are_of_numbers_and_of_columns_that_are_there(chunk):
    match = r"dtypes\['a'\] must be bool, an .* or object for a column that stays a list, got <U3"
    with pytest.raises(ValueError, match=match):
        JsonlReader(dtypes={"a": "U3"})
    with pytest.raises(ChunkReadError, match=r"has keys \['a'\], and dtypes names \['scor'\]"):
        read(chunk('{"a": 1}\n'), dtypes={"scor": "f4"})


def test_null_is_nan_where_the_dtype_is_of_floats(chunk):
    column = read(chunk('{"a": 1}\n{"a": null}\n'), dtypes={"a": "float32"})["a"]
    assert column.dtype == np.float32
    np.testing.assert_equal(column, [1, np.nan])
    with pytest.raises(ChunkReadError, match=r":2: has keys \['b'\], and no 'a'"):
        read(chunk('{"a": 1}\n{"b": 1}\n'), columns=["a"], dtypes={"a": "float32"})


def test_a_column_of_dtype_object_stays_a_list_whatever_it_holds(chunk):
    for values in ("[1, 2, 3]", "[1, null, 0.5]", '["a", true, [1]]', "[null, null, null]"):
        lines = "".join(f'{{"a": {json.dumps(value)}}}\n' for value in json.loads(values))
        assert read(chunk(lines), columns=["a"], dtypes={"a": object}) == {"a": json.loads(values)}
    assert read(chunk(""), columns=["a"], dtypes={"a": object}) == {"a": []}
    with pytest.raises(ChunkReadError, match=r"has keys \['a'\], and dtypes names \['b'\]"):
        read(chunk('{"a": 1}\n'), dtypes={"b": object})


# Damage


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (b'{"a": "x"}\n[1, 2]\n', r":2: is not a JSON object but a list\.$"),
        (b'{"a": "x"}\n{"a": "y', r":2: is not JSON \(Input data was truncated\)"),
        (b'{"a": "x"}\n{"a": NaN}\n', r":2: is not JSON .* NaN and Infinity are not JSON: write null, and pass fill"),
        (b'{"a": "x"} {"a": "y"}\n', r":1: is not JSON \(JSON is malformed: trailing characters"),
        (b'{"a": "x"}\n{"a":\n"y"}\n', r":2: is not JSON"),
        (b'{"a": "x"}\n{"a": "\xff"}\n', r":2: is not UTF-8: byte 0xff at place 8 of the line\. Convert it: iconv"),
        (b"hello\n", r":1: is not JSON"),
        (b"{}\n", r":1: the object has no keys"),
    ],
)
def test_a_line_that_is_no_object_is_an_error_that_names_it(chunk, text, match):
    with pytest.raises(ChunkReadError, match=r"a\.jsonl" + match):
        read(chunk(text))


@pytest.mark.slow
def test_a_file_cut_anywhere_never_gives_fewer_rows_silently(chunk, tmp_path):
    whole = b"".join(b'{"text": "line %d"}\n' % n for n in range(20))
    for length in range(1, len(whole)):
        try:
            rows = read(chunk(whole[:length]))["text"]
        except ChunkReadError:
            continue
        assert whole[:length].rstrip(b"\n").endswith(b"}")  # cut between two lines, which only a manifest can tell
        assert len(rows) == whole[:length].count(b"}")


@pytest.mark.parametrize("packing", COMPRESSORS)
def test_a_packed_file_cut_anywhere_is_an_error(chunk, packing):
    path = Path(chunk(b"".join(b'{"text": "line %d"}\n' % n for n in range(20)), f"a.jsonl{packing}"))
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ChunkReadError, match="ends early"):
            read(str(path))


# Empty files


def test_a_file_without_lines_has_no_samples(chunk):
    for text in ("", "\n \n"):
        assert JsonlReader().read_file(chunk(text)) == ({}, 0)
        assert JsonlReader(columns=["a"]).read_file(chunk(text)) == ({}, 0)


def test_a_file_without_lines_has_the_columns_that_are_known(chunk):
    columns = read(chunk(""), columns=["a", "b", "c"], dtypes={"a": "f4", "c": ("i4", (2, 3))})
    assert columns["b"] == []
    assert (columns["a"].dtype, columns["a"].shape) == (np.float32, (0,))
    assert (columns["c"].dtype, columns["c"].shape) == (np.int32, (0, 2, 3))


def test_it_has_its_old_name_too():
    assert JsonLineDataReader is JsonlReader
    assert JsonlReader().batch_size == 16
