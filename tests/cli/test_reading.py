"""The lines that `pyloader peek` prints under "to read" run as they are printed, on every kind of data."""

import datetime
import decimal
import inspect
import json
from pathlib import Path

import numpy as np
import pytest

from pyloader import ChunkWriter, DataLoader, Ragged
from pyloader.cli.main import main

ROWS = 40
LENGTHS = [1 + row % 7 for row in range(ROWS)]
HAS_NULLS = "nulls" in inspect.signature(DataLoader).parameters


@pytest.fixture(autouse=True)
def a_place_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.chdir(tmp_path)


def jsonl(**columns) -> str:
    Path("chunks").mkdir()
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    for name, part in (("a", rows[:30]), ("b", rows[30:])):
        Path(f"chunks/{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
    return "chunks"


def parquet(**columns) -> str:
    arrow, writer = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    Path("chunks").mkdir()
    table = arrow.table(columns)
    writer.write_table(table.slice(0, 30), "chunks/a.parquet")
    writer.write_table(table.slice(30), "chunks/b.parquet")
    return "chunks"


def printed(capsys, *words: str) -> list[str]:
    """Return what stands under "to read"."""
    assert main(["peek", *words]) == 0
    lines = capsys.readouterr().out.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("to read"))
    column = len("to read") + len(lines[first][len("to read") :]) - len(lines[first][len("to read") :].lstrip())
    shown = [line[column:] for line in lines[first:]]
    return shown[: next(number for number, line in enumerate(shown) if line.startswith("a batch:")) + 1]


def batches_of(lines: list[str]) -> list:
    """Run the lines, and return the batches of the loader that the last one makes."""
    names = {"DataLoader": DataLoader}
    exec("\n".join(lines[:-1]), names)
    with eval(lines[-1], names) as loader:
        return list(loader)


CASES = {
    "numbers and text": (jsonl, {"n": list(range(ROWS)), "s": ["x"] * ROWS}, None),
    "ragged lists": (jsonl, {"ids": [list(range(n)) for n in LENGTHS]}, "PaddingDataCollator(pad_value=0)"),
    "ragged lists of floats": (jsonl, {"ids": [[0.5] * n for n in LENGTHS]}, "PaddingDataCollator(pad_value=0)"),
    "lists of one length": (jsonl, {"v": [[1, 2, 3]] * ROWS}, None),
    "lists of text": (jsonl, {"tags": [["x"] * n for n in LENGTHS]}, None),
    "empty lists among lists": (jsonl, {"ids": [[]] * 20 + [[1]] * 20}, "PaddingDataCollator(pad_value=0)"),
    "lists of frames": (jsonl, {"f": [[[1.0, 2.0]] * n for n in LENGTHS]}, "PaddingDataCollator(pad_value=0)"),
    "lists ragged in their depth": (jsonl, {"l": [[[1] * n] * (n % 3 + 1) for n in LENGTHS]}, "AsTheyAre()"),
    "a None in a list": (jsonl, {"l": [[1, None]] * ROWS}, "AsTheyAre()"),
    "numbers beside text": (jsonl, {"x": ["a", 1] * 20}, "AsTheyAre()"),
    "lists beside None": (jsonl, {"l": [None] + [[1, 2]] * 39}, "AsTheyAre()"),
    "dicts": (jsonl, {"d": [{"a": n, "b": [n]} for n in range(ROWS)]}, None),
    "nothing but None": (jsonl, {"n": [None] * ROWS, "m": [1] * ROWS}, None),
    "text with gaps": (jsonl, {"s": ["x", None] * 20}, None),
    "bytes": (parquet, {"b": [b"\x89PNG"] * ROWS}, None),
    "structs": (parquet, {"image": [{"bytes": b"\x89", "path": "a.png"}] * ROWS}, None),
    "dates": (parquet, {"d": [datetime.date(2024, 1, 1)] * ROWS}, None),
    "dates with gaps": (parquet, {"d": [datetime.date(2024, 1, 1), None] * 20}, None),
    "times": (parquet, {"t": [datetime.datetime(2024, 1, 1)] * ROWS}, None),
    "decimals": (parquet, {"p": [decimal.Decimal("1.50")] * ROWS}, None),
    "ragged lists in a table": (
        parquet,
        {"ids": [list(range(n)) for n in LENGTHS]},
        "PaddingDataCollator(pad_value=0)",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("indexed", [False, True])
@pytest.mark.parametrize("kind", CASES)
def test_the_lines_run_as_printed(capsys, kind, indexed):
    write, columns, collator = CASES[kind]
    place = write(**columns)
    if indexed:
        assert main(["index", place, "-q"]) == 0
    *lines, batch = printed(capsys, place, "--batch-size", "7")
    if kind == "lists of one length" and indexed:
        collator = "PaddingDataCollator(pad_value=0)"  # in a manifest they are lists, of one length or not
    assert ("datacollator=" in lines[-1]) == (collator is not None)
    assert collator is None or lines[-1].endswith(f"datacollator={collator})")
    batches = batches_of(lines)
    assert sum(len(batch[min(columns)]) for batch in batches) == ROWS
    for name in columns:  # type: ignore[attr-defined]
        is_array = isinstance(batches[0][name], np.ndarray)
        assert f"{name}: {f'{batches[0][name].dtype} [7' if is_array else 'list of 7 '}" in batch


@pytest.mark.parametrize("indexed", [False, True])
@pytest.mark.parametrize("gap", [0, 35])  # in the first chunk, which is looked at, or in the other
def test_gaps_among_numbers_are_read_as_nan(capsys, indexed, gap):
    ages = [None if row == gap else row for row in range(ROWS)]
    place = jsonl(age=ages, ids=[[1] * n for n in LENGTHS], s=["x"] * ROWS)
    if indexed:
        assert main(["index", place, "-q"]) == 0
    elif gap == 35:
        return  # nobody can know
    *lines, batch = printed(capsys, place)
    assert lines == [
        "from pyloader import DataLoader, PaddingDataCollator",
        'DataLoader(data_dir="chunks", batch_size=256, shuffle=True, '
        'datacollator=PaddingDataCollator(pad_value=0), nulls="nan")',
    ]
    assert "age: float64 [256]   ids: int64 [256, up to 7]   s: list of 256 str" in batch
    if HAS_NULLS:
        (found,) = batches_of(lines)
        assert np.isnan(found["age"]).sum() == 1


def test_what_the_manifest_says_of_the_chunks_that_are_not_looked_at_counts(capsys):
    place = jsonl(x=["a"] * 35 + [1] * 5)
    assert main(["index", place, "-q"]) == 0
    *lines, _ = printed(capsys, place)
    assert lines[-1].endswith("datacollator=AsTheyAre())")
    assert sum(len(batch["x"]) for batch in batches_of(lines)) == ROWS


def test_only_the_option_for_gaps_is_printed_where_nothing_else_is_needed(capsys):
    *lines, _ = printed(capsys, parquet(age=[1, None] * 20))
    assert lines == ['DataLoader(data_dir="chunks", batch_size=256, shuffle=True, nulls="nan")']


@pytest.mark.parametrize("name", ['a "quoted" one', "back\\slash", "line\nend", "esc\x1b", "\u202eturned", "日本"])
def test_a_directory_of_any_name_is_printed_so_that_it_can_be_typed(capsys, name):
    Path(jsonl(n=list(range(ROWS)))).rename(name)
    *lines, _ = printed(capsys, name)
    assert lines[-1].isprintable()
    assert sum(len(batch["n"]) for batch in batches_of(lines)) == ROWS


def test_a_reader_that_was_typed_is_in_the_lines(capsys):
    Path("chunks").mkdir()
    np.arange(ROWS * 4, dtype="<u2").tofile("chunks/a.bin")
    words = ["--reader", "tokens", "--option", "window=4", "--option", "dtype=uint16"]
    *lines, _ = printed(capsys, "chunks", *words)
    assert lines[:2] == ["from pyloader import DataLoader", "from pyloader.read import TokenReader"]
    assert sum(len(batch["tokens"]) for batch in batches_of(lines)) == ROWS


@pytest.mark.parametrize("lengths", [LENGTHS, [3] * ROWS], ids=["of unequal length", "of one length"])
def test_ragged_rows_are_padded(capsys, lengths):
    ids = Ragged.from_rows([[1] * length for length in lengths], dtype="uint16")
    images = Ragged.from_rows([b"x" * length for length in lengths])
    with ChunkWriter("chunks", chunk_samples=30) as writer:
        writer.write_columns({"ids": ids, "image": images})
    *lines, batch = printed(capsys, "chunks", "--batch-size", "7")
    assert lines[-1].endswith("datacollator=PaddingDataCollator(pad_value=0))")
    most = "up to 7" if lengths is LENGTHS else "3"
    assert f"ids: uint16 [7, {most}]   image: list of 7 bytes" in batch
    assert sum(len(batch["ids"]) for batch in batches_of(lines)) == ROWS


def test_ragged_bytes_alone_need_no_padding(capsys):
    with ChunkWriter("chunks") as writer:
        writer.write_columns({"image": Ragged.from_rows([b"x" * length for length in LENGTHS])})
    *lines, batch = printed(capsys, "chunks")
    assert lines[-1] == 'DataLoader(data_dir="chunks", batch_size=256, shuffle=True)'
    assert "image: list of 256 bytes" in batch
