"""Large CSV and TSV files are cut into units before rows, whatever stands within quotes."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from pyloader.cli.main import main
from pyloader.deliver.engines import opened_engine
from pyloader.errors import SplitError
from pyloader.files import read_manifest
from pyloader.read.dialect import Dialect
from pyloader.write import split, table_cuts, units
from pyloader.write.blocks import Source, Span
from pyloader.write.inputs import Inputs
from pyloader.write.table_cuts import cut_at_rows, cut_tables, parts_to_scan, scan
from pyloader.write.tables import blocks_of_fields

QUOTED = st.lists(st.sampled_from(["a", "|", "\n", '""', "\r\n", "é"]), max_size=9).map(
    lambda parts: f'"{"".join(parts)}"'
)
FIELDS = st.one_of(QUOTED, st.sampled_from(["", "7", '5" pipe', 'a""b', "é"]))


def table(path: Path) -> Source:
    blocks = partial(blocks_of_fields, dialect=Dialect("|"))
    size = path.stat().st_size
    return Source(str(path), size, partial(blocks, str(path)), size, is_read_through=True)


def rows_of(source: Source, spans: Sequence[Span]) -> list[tuple[Any, ...]] | str:
    """Return the rows of spans, each with its line in the file; or what is wrong, and where."""
    found: list[tuple[Any, ...]] = []
    for span in spans:
        before = Path(source.name).read_bytes()[: span.start + 1].count(b"\n") if span.start else 0
        try:
            with closing(source.blocks(span, block_bytes=20)) as blocks:
                for block in blocks:
                    assert isinstance(block.content, dict)
                    lines = [line + before for line in block.lines]
                    found += zip(lines, *block.content.values(), strict=True)
        except SplitError as exc:
            return f"{exc.line and exc.line + before} {exc.what}"
    return found


@pytest.mark.slow
@given(
    st.lists(st.tuples(FIELDS, FIELDS), max_size=25),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["", "\ufeff", "\n"]),
    st.booleans(),
    st.sampled_from([20, 50, 100]),
    st.one_of(st.none(), st.integers(0, 200)),
)
def test_rows_of_all_units_are_those_of_the_whole_file(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, str]],
    newline: str,
    head: str,
    has_last: bool,
    unit_bytes: int,
    spoilt: int | None,
) -> None:
    text = head + newline.join(map("|".join, [("one", '"two\n"'), *rows])) + newline * has_last
    if spoilt is not None:  # a quote more, anywhere
        text = text[:spoilt] + '"' + text[spoilt:]
    path = tmp_path_factory.mktemp("tables") / "dump.csv"
    path.write_bytes(text.encode())
    source = table(path)
    parts = parts_to_scan(source, unit_bytes)
    cut = cut_at_rows(source, [scan(source, part, "") for part in parts]) if parts else source
    spans = [span for unit in units.plan_units([cut], unit_bytes) for _, span in unit.spans]
    assert rows_of(source, spans) == rows_of(source, [Span()])


@pytest.fixture
def small_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "MIN_UNIT_BYTES", 1)


def make_table(path: Path, *, num_rows: int = 900) -> None:
    chance = random.Random(0)
    texts = ["line\n" * chance.randrange(5) for _ in range(num_rows)]
    rows = [f'{index},"{text}{index}",5" pipe\n' for index, text in enumerate(texts)]
    path.write_text("id,text,size\n" + "".join(rows))


def ids(directory: Path) -> list[int]:
    import zstandard

    chunks = sorted(directory.glob("chunk-*.jsonl.zst"))
    lines = b"".join(zstandard.ZstdDecompressor().decompressobj().decompress(path.read_bytes()) for path in chunks)
    return [json.loads(line)["id"] for line in lines.splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("shuffle", [False, True])
def test_a_large_table_has_many_units_and_the_same_chunks_on_every_engine(
    shuffle: bool, tmp_path: Path, small_units: None, tree: Any
) -> None:
    make_table(tmp_path / "dump.csv")
    found = []
    for engine, workers in (("inline", 1), ("thread", 3), ("process", 2))[: 2 + shuffle]:
        output = tmp_path / engine
        split(tmp_path / "dump.csv", output, engine=engine, workers=workers, shuffle=shuffle)
        found.append({name: data for name, data in tree(output).items() if name.endswith(".zst")})
        assert (ids(output) == list(range(900))) == (not shuffle)
        assert sorted(ids(output)) == list(range(900))
    assert all(chunks == found[0] for chunks in found)


def test_a_table_without_quotes_is_cut_before_any_line(tmp_path: Path, small_units: None) -> None:
    rows = "".join(f'{index},"{index}\n' for index in range(900))
    (tmp_path / "dump.csv").write_text(f"id,text\n{rows}")
    split(tmp_path / "dump.csv", tmp_path / "chunks", quote="none", shuffle=True, workers=2)
    assert sorted(ids(tmp_path / "chunks")) == list(range(900))
    dialect = Dialect(",", quote="none")
    path = str(tmp_path / "dump.csv")
    size = Path(path).stat().st_size
    source = Source(path, size, partial(partial(blocks_of_fields, dialect=dialect), path), size)
    with opened_engine("inline", 1) as opened:  # and nothing is scanned
        (cut,) = cut_tables(Inputs("csv", (source,)), 1000, opened, max_ahead=1, bar=lambda: None).sources
    assert len(units.plan_units([cut], 1000)) == 8


@pytest.mark.slow
def test_a_bad_row_of_a_later_unit_is_named_by_its_line_in_the_file(tmp_path: Path, small_units: None) -> None:
    make_table(tmp_path / "dump.csv")
    with open(tmp_path / "dump.csv", "a") as file:
        file.write('900,"two\nlines",x,y\n901,,\n902,x\n')
    line = (tmp_path / "dump.csv").read_text().count("\n") - 3
    with pytest.raises(SplitError, match=rf"dump\.csv:{line}: has 4 values, but the header has 3"):
        split(tmp_path / "dump.csv", tmp_path / "refused")
    quarantine = tmp_path / "bad.jsonl"
    report = split(tmp_path / "dump.csv", tmp_path / "chunks", max_skipped=2, quarantine=quarantine)
    assert report.outputs[0].num_samples == 901
    assert [json.loads(row)["line"] for row in quarantine.read_text().splitlines()] == [line, line + 3]


@pytest.mark.slow
def test_a_file_of_a_set_is_known_again_whether_it_was_cut_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_table(tmp_path / "dump.csv")
    split(tmp_path / "dump.csv", tmp_path / "chunks", append=True)
    (tmp_path / "dump.csv").rename(tmp_path / "renamed.csv")
    monkeypatch.setattr(units, "MIN_UNIT_BYTES", 1)
    again = split(tmp_path / "renamed.csv", tmp_path / "chunks", append=True)
    make_table(tmp_path / "more.csv", num_rows=950)
    split(tmp_path / "more.csv", tmp_path / "chunks", append=True)
    (tmp_path / "more.csv").rename(tmp_path / "moved.csv")
    third = split(tmp_path / "moved.csv", tmp_path / "chunks", append=True)
    assert [again.num_written, third.num_written] == [0, 0]


@pytest.mark.slow
def test_where_no_newline_is_quoted_tables_are_cut_at_any_line_and_not_scanned(
    tmp_path: Path, tree: Any, monkeypatch: pytest.MonkeyPatch, small_steps: Any
) -> None:
    small_steps()
    rows = [[str(number), f'"a, ""{number}"""', ""] for number in range(300)]
    lines = ["id,text,none", *(",".join(row) for row in rows)]
    (tmp_path / "dump.csv").write_text("\n\n".join(lines) + "\n")
    split(tmp_path / "dump.csv", tmp_path / "scanned")
    monkeypatch.setattr(table_cuts, "scan", None)
    split(tmp_path / "dump.csv", tmp_path / "cut", quoted_newlines=False)
    chunks = [
        {name: data for name, data in tree(tmp_path / name).items() if name.startswith("chunk-")}
        for name in ("scanned", "cut")
    ]
    assert len(chunks[0]) > 3
    assert b"".join(map(unpacked, chunks[0].values())) == b"".join(map(unpacked, chunks[1].values()))
    command = read_manifest(tmp_path / "cut" / "manifest.json").command
    assert "--no-quoted-newlines" in command


@pytest.mark.parametrize("place", [1, 150, 299])
def test_a_quoted_newline_is_an_error_where_there_should_be_none(
    place: int, tmp_path: Path, capsys: pytest.CaptureFixture[str], small_steps: Any
) -> None:
    small_steps()
    lines = ["id,text", *(f"{number},text" for number in range(300))]
    lines[place] = '7,"two\nlines"'
    (tmp_path / "dump.csv").write_text("\n".join(lines) + "\n")
    words = ["split", str(tmp_path / "dump.csv"), str(tmp_path / "chunks")]
    assert main([*words, "--no-quoted-newlines"]) == 2
    complaint = capsys.readouterr().err
    assert "leave out --no-quoted-newlines" in complaint.lower()
    assert f"dump.csv:{place + 1}: " in complaint
    assert main(words) == 0


def test_a_quoted_newline_at_the_border_of_units_is_an_error_too(tmp_path: Path) -> None:
    text = 'id,text\n1,a\n2,"two\nlines"\n3,b\n'
    (tmp_path / "dump.csv").write_text(text)
    read = partial(blocks_of_fields, str(tmp_path / "dump.csv"), dialect=Dialect(","), quoted_newlines=False)
    border = text.index("\nlines")
    with pytest.raises(SplitError, match=r"leave out --no-quoted-newlines \(quoted_newlines=False\)"):
        list(read(Span(0, border - 1)))


def test_what_is_no_table_has_no_quoted_newlines_to_be_left_out(tmp_path: Path) -> None:
    (tmp_path / "dump.jsonl").write_text('{"id": 1}\n')
    with pytest.raises(ValueError, match="quoted_newlines is for csv and tsv, and this is jsonl"):
        split(tmp_path / "dump.jsonl", tmp_path / "chunks", quoted_newlines=False)


def unpacked(chunk: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompress(chunk)
