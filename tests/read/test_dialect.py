"""The dialect of delimited text: rows are read as they were written, or an error says where a quote opens."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from products import examples

from pyloader.columns import row_count
from pyloader.datareader import read_chunk
from pyloader.errors import PyLoaderError
from pyloader.files import list_chunks
from pyloader.inspecting.peeking import peek_chunks
from pyloader.read import DelimitedReader, reader_for
from pyloader.write import split

OFF = r'say so: --quote none \(DelimitedReader\(quote="none"\)\)'
MEANT = r"if the field is meant as it is: --quote '\"'"


@pytest.fixture
def table(tmp_path: Path):
    def write(text: str, name: str = "a.csv") -> Path:
        (tmp_path / name).write_bytes(text.encode())
        return tmp_path / name

    return write


def refused(path: Path, match: str) -> None:
    """Reader and split refuse a file, in the same words."""
    with pytest.raises(PyLoaderError, match=match):
        DelimitedReader().read_file(str(path))
    with pytest.raises(PyLoaderError, match=match):
        split(path, path.parent / "chunks")


def num_rows(path: Path, **options: str) -> int:
    report = split(path, path.parent / "chunks", overwrite=True, **options)
    assert report.outputs[0].num_samples == DelimitedReader(**options).read_file(str(path))[1]
    return report.outputs[0].num_samples


def loose_quotes(header: str, row: str, *, first: int, last: int) -> str:
    rows = [header, *(row.format(f"{number} plain") for number in range(1000))]
    rows[first], rows[last] = row.format('"Loose quote').rstrip(",1"), row.format('ends here"')
    return "\n".join(rows) + "\n"


@pytest.mark.slow
def test_a_loose_quote_that_takes_in_hundreds_of_rows_is_an_error(table):
    path = table(loose_quotes("id\ttext", "1\t{}", first=10, last=900), "q.tsv")
    refused(path, rf"q\.tsv:11: opens a quote that takes in whole lines with as many delimiters.* {OFF}; {MEANT}")
    assert num_rows(path, quote="none") == 1000
    assert num_rows(path, quote='"') == 110


def test_three_lines_like_rows_inside_of_a_field_are_an_error(table):
    path = table('a,b,c\n1,2,3\n1,2,"x\n1,2,3\n1,2,3\n1,2,3\ny"\n')
    refused(path, r"a\.csv:3: opens a quote that takes in whole lines")
    assert num_rows(path, quote='"') == 2


@pytest.mark.parametrize(
    "text",
    [
        'a,b,c\n1,2,"x\n1,2,3\n1,2,3\ny"\n',  # two
        'a,b,c\n1,2,"x\n1,2,3\n1,2,3\nwords\n1,2,3\ny"\n',  # not in a row
        'a,b\n1,"Dear Sir,\n' + "I write, as I must.\n" * 19 + 'Yours"\n',
        'a\n"x\n' + "y\n" * 9000 + '"\n',
        'a,b,c\n1,2,"x\n' + "some words, and more\n" * 500 + '"\n',
    ],
)
def test_prose_in_a_field_is_a_field(table, text):
    assert num_rows(table(text)) == 1


def test_a_quote_that_closes_within_a_field_names_the_line_where_it_opens(table):
    refused(table('a,b\n1,"ab\ncd"e\n'), rf"a\.csv:2: is not well-formed \(.* 1 line further on, .*{OFF}")
    refused(table('a,b\n"one\ntwo","ab\ncd\nef"g\n'), r"a\.csv:3: is not well-formed \(.* 2 lines further on")
    assert num_rows(table("a,b\n1,'x'y\n")) == 1


@pytest.mark.parametrize("ending", ["", "\n"])
def test_a_quote_that_is_never_closed_names_the_line_where_it_opens(table, ending):
    text = 'a,b\n"x\ny",z\n1,"never closed\n' + "2,plain\n" * 15 + f"2,plain{ending}"
    refused(
        table(text),
        r"a\.csv:4: is not well-formed \(unexpected end of data\)\. A quote is not closed: is the file whole\?",
    )


@pytest.mark.slow
def test_an_open_quote_is_bounded_in_lines(table):
    path = table('a\tb\n0\tx\n1\t"never closed\n' + "2\tplain words\n" * 200_000, "u.tsv")
    refused(path, rf"u\.tsv:3: opens a quote that is not closed within 10,000 lines\. .*{MEANT}")
    path = table('a\n"' + "line\n" * 12_000 + '"\n', "u.tsv")
    refused(path, r"u\.tsv:2: opens a quote that is not closed within 10,000 lines")
    assert num_rows(path, quote='"') == 1


@pytest.mark.parametrize(("name", "mark"), [("a.csv", ";"), ("a.csv", "\t"), ("a.csv", "|"), ("a.tsv", ",")])
def test_a_header_of_one_name_that_holds_a_delimiter_is_an_error(table, name, mark):
    path, own = table(f"a{mark}b\nx{mark}y\n", name), "\t" if name == "a.tsv" else ","
    option = "tab" if mark == "\t" else f"'{mark}'"
    refused(
        path,
        rf":1: has a header of one name with .* Say what stands between fields: --delimiter {option}".replace(
            "|", r"\|"
        ),
    )
    assert DelimitedReader(delimiter=mark).read_file(str(path)) == ({"a": ["x"], "b": ["y"]}, 1)
    assert DelimitedReader(delimiter=own).read_file(str(path)) == ({f"a{mark}b": [f"x{mark}y"]}, 1)


def test_lines_that_end_with_a_carriage_return_alone_are_an_error(table):
    refused(table("a,b\r1,2\r3,4\r"), r"a\.csv:1: has a \\r that no \\n follows, outside of quotes\. .*perl -pe")
    refused(table("a,b\n1,2\nx\ry,4\n"), r"a\.csv:3: has a \\r .* Put fields that hold one in quotes")


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"delimiter": ";;"}, "delimiter must be one character, got ';;'"),
        ({"delimiter": "\n"}, "delimiter must be one character"),
        ({"quote": ""}, "quote must be one character, or \"none\", got ''"),
        ({"delimiter": '"'}, "delimiter and quote are both"),
    ],
)
def test_a_dialect_that_cannot_be_is_refused(table, options, match):
    with pytest.raises(ValueError, match=match):
        DelimitedReader(**options)
    with pytest.raises(ValueError, match=match):
        split(table("a,b\n1,2\n"), "chunks", **options)


def test_a_dialect_is_only_for_delimited_text(tmp_path: Path):
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n')
    with pytest.raises(ValueError, match="delimiter and quote are for csv and tsv, and this is jsonl"):
        split(tmp_path / "a.jsonl", tmp_path / "chunks", quote="none")


def test_the_csv_module_of_the_program_stays_as_it_is(table):
    path = table(f'text\n"{"x" * 300_000}"\n')
    assert num_rows(path) == 1
    assert csv.field_size_limit() == 131_072


# An "x" first, so that no column is of numbers.
fields = st.text(st.sampled_from("ab,;\t|\"'\n\r\0\ufeffé "), max_size=8).map(lambda text: f"x{text}")


@st.composite
def tables(draw) -> tuple[list[list[str]], bytes, dict[str, str]]:
    """Rows, what csv.writer makes of them, and the options that say how."""
    width = draw(st.integers(1, 4))
    rows = draw(st.lists(st.lists(fields, min_size=width, max_size=width), min_size=1, max_size=8))
    rows *= draw(st.sampled_from([1, 1, 1, 30]))
    rows.insert(0, draw(st.lists(fields, min_size=width, max_size=width, unique=True)))
    delimiter, quote = draw(st.sampled_from(",;\t|")), draw(st.sampled_from("\"'"))
    options = {"delimiter": delimiter, "quote": quote}
    text = io.StringIO(newline="")
    end = draw(st.sampled_from(["\n", "\r\n"]))
    style = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]))
    # Without quotes, as csv.writer leaves it, a last field's carriage return is part of the line's end.
    assume(style != csv.QUOTE_MINIMAL or not any(row[-1].endswith("\r") for row in rows))
    csv.writer(text, delimiter=delimiter, quotechar=quote, lineterminator=end, quoting=style).writerows(rows)
    if delimiter == "," and draw(st.booleans()):
        del options["delimiter"]
    if quote == '"' and draw(st.booleans()):
        del options["quote"]
    mark = b"\xef\xbb\xbf" if draw(st.booleans()) else b""
    return rows, mark + text.getvalue().encode(), options


@pytest.mark.slow
@settings(max_examples=examples(200), deadline=None)
@given(table=tables())
def test_what_csv_writes_is_read_equal_or_refused(tmp_path_factory, table):
    rows, content, options = table
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_bytes(content)
    header = [name.removeprefix("\ufeff") if not place else name for place, name in enumerate(rows[0])]
    expected = {name: [row[place] for row in rows[1:]] for place, name in enumerate(header)}

    def read():
        return read_chunk(DelimitedReader(**options), path)

    def peeked():
        return peek_chunks(list_chunks(path), make_reader=lambda *_, **__: DelimitedReader(**options)).rows

    def was_split():
        split(path, path.parent / "chunks", num_chunks=1, **options)
        chunks = list_chunks(path.parent / "chunks")
        return read_chunk(reader_for(chunks.path(0), manifest=chunks.manifest), chunks.path(0))

    outcomes = []
    for get in (read, peeked, was_split):
        try:
            columns = get()
        except PyLoaderError:
            outcomes.append("refused")
        else:
            assert row_count(columns) == len(rows) - 1
            assert columns == expected
            outcomes.append("equal")
    assert len(set(outcomes)) == 1
