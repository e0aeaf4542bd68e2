"""Every sample of a dump is in exactly one chunk, as it was."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chunk_lines import PACKERS, lines_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyloader.columns import Columns
from pyloader.dataset import Dataset
from pyloader.errors import BatchEncodeError
from pyloader.files import list_chunks
from pyloader.machine import bars
from pyloader.write import FORMATS, rows, split, units


class Lengths(Dataset):
    def batch_encode(self, columns: Columns) -> Columns:
        return {"length": np.array([len(text) for text in columns["text"]], np.int32)}


class Shortened(Dataset):
    def batch_encode(self, columns: Columns) -> Columns:
        return {"text": list(columns["text"][1:])}


def is_even(sample: dict[str, Any]) -> bool:
    return bool(sample["id"] % 2 == 0)


@pytest.mark.slow
@pytest.mark.parametrize("packing", PACKERS)
@pytest.mark.parametrize("options", [{}, {"chunk_bytes": 3000}, {"num_chunks": 7}, {"chunk_samples": 33}])
def test_lines_stay_byte_for_byte_and_in_order(
    packing: str, options: dict[str, Any], dump: Path, tmp_path: Path, small_steps: Any
) -> None:
    small_steps()
    packed = tmp_path / f"packed.jsonl{packing}"
    packed.write_bytes(PACKERS[packing](dump.read_bytes()))
    split(packed, tmp_path / "chunks", **options)
    assert b"".join(lines_of(tmp_path / "chunks")) == dump.read_bytes()


@pytest.mark.slow
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(st.text(max_size=30), min_size=1, max_size=60),
    shuffle=st.booleans(),
    sizes=st.sampled_from([{}, {"chunk_bytes": 100}, {"chunk_samples": 7}]),
    block=st.integers(1, 400),
    pending=st.integers(1, 2000),
    segment=st.integers(50, 4000),
    share=st.sampled_from([None, 0.3]),
)
def test_whatever_the_options_the_lines_out_are_the_lines_in(
    texts: list[str],
    shuffle: bool,
    sizes: dict[str, int],
    block: int,
    pending: int,
    segment: int,
    share: float | None,
    tmp_path_factory: pytest.TempPathFactory,
    small_steps: Any,
) -> None:
    small_steps(block=block, pending=pending, segment=segment)
    place = tmp_path_factory.mktemp("split")
    lines = [json.dumps({"text": text}).encode() + b"\n" for text in texts]
    (place / "dump.jsonl").write_bytes(b"".join(lines))
    holdout = None if share is None else {"val": share}
    report = split(place / "dump.jsonl", place / "chunks", shuffle=shuffle, holdout=holdout, **sizes)
    outputs = [lines_of(Path(output.directory)) for output in report.outputs]
    assert Counter(itertools.chain(*outputs)) == Counter(lines)
    assert [output.num_samples for output in report.outputs] == list(map(len, outputs))
    if not shuffle and share is None:
        assert outputs[0] == lines


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "tokens"])
@pytest.mark.parametrize("shuffle", [False, True])
def test_arrays_come_back_the_same_from_every_format(
    name: str, shuffle: bool, tmp_path: Path, read_all: Any, values: Any, small_steps: Any
) -> None:
    small_steps()
    rows = np.random.Generator(np.random.PCG64(0)).standard_normal((300, 5))
    np.save(tmp_path / "x.npy", rows)
    split({"x": tmp_path / "x.npy"}, tmp_path / "chunks", output_format=name, shuffle=shuffle, chunk_samples=70)
    found = np.array(values(tmp_path / "chunks", "x"))
    assert found.shape == rows.shape
    np.testing.assert_array_equal(found[np.argsort(found[:, 0])], rows[np.argsort(rows[:, 0])])
    assert np.array_equal(found, rows) is not shuffle


@pytest.mark.parametrize("name", ["jsonl", "jsonl.zst", "parquet"])
def test_records_come_back_the_same_from_every_format(
    name: str, dump: Path, tmp_path: Path, values: Any, samples: Any
) -> None:
    split(dump, tmp_path / "chunks", output_format=name, num_chunks=4)
    assert values(tmp_path / "chunks", "text") == [sample["text"] for sample in samples]
    assert values(tmp_path / "chunks", "id") == [sample["id"] for sample in samples]


def test_arrayrecord_holds_json_lines_as_records(dump: Path, tmp_path: Path, values: Any, samples: Any) -> None:
    split(dump, tmp_path / "chunks", output_format="arrayrecord", num_chunks=4)
    assert [json.loads(record) for record in values(tmp_path / "chunks", "record")] == samples


def test_columns_of_numbers_are_one_kind_over_the_whole_dataset(tmp_path: Path, read_all: Any) -> None:
    rows = [{"whole": i, "later": i if i < 90 else i + 0.5, "none": None if i == 99 else i} for i in range(100)]
    (tmp_path / "dump.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = split(tmp_path / "dump.jsonl", tmp_path / "chunks", num_chunks=10)
    assert list(map(str, report.columns)) == ["whole: int64", "later: float64", "none: int"]
    for columns in read_all(tmp_path / "chunks"):
        assert columns["later"].dtype == np.float64
        assert columns["whole"].dtype == np.int64


def test_several_files_globs_and_file_order(dump: Path, tmp_path: Path) -> None:
    lines = dump.read_bytes().splitlines(keepends=True)
    for index in range(4):
        (tmp_path / f"part-{index}.jsonl").write_bytes(b"".join(lines[index * 100 : index * 100 + 100]))
    split(str(tmp_path / "part-*.jsonl"), tmp_path / "chunks", num_chunks=3)
    assert lines_of(tmp_path / "chunks") == lines


def test_a_missing_last_newline_blank_lines_and_a_byte_order_mark_do_no_harm(tmp_path: Path, values: Any) -> None:
    (tmp_path / "dump.jsonl").write_bytes(b'\xef\xbb\xbf{"a": 1}\r\n\n  \n {"a": 2}\n{"a": 3}')
    split(tmp_path / "dump.jsonl", tmp_path / "chunks")
    assert values(tmp_path / "chunks", "a") == [1, 2, 3]


def test_text_has_one_sample_for_each_line_blank_ones_too(tmp_path: Path, values: Any, small_steps: Any) -> None:
    small_steps(block=5)
    (tmp_path / "a.txt").write_bytes("one\r\n\n žluťoučký\nlast".encode())
    split(tmp_path / "a.txt", tmp_path / "chunks")
    assert values(tmp_path / "chunks", "text") == ["one", "", " žluťoučký", "last"]


def test_csv_columns_are_numbers_when_all_their_fields_are(tmp_path: Path, read_all: Any, small_steps: Any) -> None:
    from pyloader.read.delimited import DelimitedReader

    small_steps()
    fields = [f'{i},{i}.50,00{i},"a, ""b""\n{i}",{i if i < 299 else "x"}' for i in range(300)]
    (tmp_path / "a.csv").write_text("\n".join(["n,f,zip,text,late", *fields]))
    split(tmp_path / "a.csv", tmp_path / "chunks", chunk_samples=50)
    whole, _ = DelimitedReader().read_file(str(tmp_path / "a.csv"))
    parts = read_all(tmp_path / "chunks")
    assert len(parts) == 6
    for name, expected in whole.items():
        assert [value for part in parts for value in part[name]] == list(expected)
        assert type(parts[0][name]) is type(expected)


@pytest.mark.parametrize("name", ["columns", "parquet", "jsonl"])
def test_csv_numbers_are_numbers_in_every_format(name: str, tmp_path: Path, values: Any) -> None:
    (tmp_path / "a.csv").write_text("n,f\n" + "".join(f"{i},{i}.5\n" for i in range(50)))
    report = split(tmp_path / "a.csv", tmp_path / "chunks", output_format=name, num_chunks=3)
    assert list(map(str, report.columns)) == ["n: int64", "f: float64"]
    assert list(values(tmp_path / "chunks", "f")) == [i + 0.5 for i in range(50)]


def test_parquet_goes_in_and_keeps_bytes(tmp_path: Path, values: Any) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    images = [bytes([index % 256]) * (index % 7) for index in range(500)]
    table = arrow.table({"image": images, "label": list(range(500))})
    parquet.write_table(table, tmp_path / "in.parquet", row_group_size=90)
    report = split(tmp_path / "in.parquet", tmp_path / "chunks", shuffle=True, num_chunks=5)
    found = dict(zip(values(tmp_path / "chunks", "label"), values(tmp_path / "chunks", "image"), strict=True))
    assert found == dict(enumerate(images))
    assert report.format == "parquet"


def test_npz_and_arrays_stored_column_by_column(tmp_path: Path, read_all: Any, values: Any) -> None:
    x, y = np.arange(60.0).reshape(20, 3), np.arange(20)
    np.savez_compressed(tmp_path / "a.npz", x=x, y=y)
    split(tmp_path / "a.npz", tmp_path / "chunks", chunk_samples=8)
    np.testing.assert_array_equal(values(tmp_path / "chunks", "x"), x)
    np.save(tmp_path / "f.npy", np.asfortranarray(x))
    split(tmp_path / "f.npy", tmp_path / "more", chunk_samples=8)
    np.testing.assert_array_equal(values(tmp_path / "more", "data"), x)


def test_where_and_encode_are_applied_once(dump: Path, tmp_path: Path, values: Any, samples: Any) -> None:
    report = split(dump, tmp_path / "chunks", where=is_even, encode=Lengths(), chunk_samples=50)
    assert values(tmp_path / "chunks", "length") == [len(sample["text"]) for sample in samples[::2]]
    assert report.format == "columns"
    with pytest.raises(BatchEncodeError, match=r"Shortened.batch_encode got \d+ rows and returned \d+. Filter with"):
        split(dump, tmp_path / "other", encode=Shortened())


def test_columns_are_kept_with_their_digits(tmp_path: Path) -> None:
    (tmp_path / "dump.jsonl").write_text('{"a": 1.500, "b": "\\u00e9", "c": 1}\n{"c": 2, "a": 1e3, "b": "x"}\n')
    split(tmp_path / "dump.jsonl", tmp_path / "chunks", columns=["a", "b"])
    assert b"".join(lines_of(tmp_path / "chunks")) == b'{"a":1.500,"b":"\\u00e9"}\n{"a":1e3,"b":"x"}\n'


def test_filled_in_nan_and_nan_in_arrays_come_back_as_nan(tmp_path: Path, read_all: Any, values: Any) -> None:
    (tmp_path / "dump.jsonl").write_text('{"a": 1, "s": 1.5}\n{"a": 2}\n{"a": 3, "s": null}\n')
    report = split(tmp_path / "dump.jsonl", tmp_path / "chunks", fill={"s": float("nan")}, num_chunks=3)
    assert list(map(str, report.columns)) == ["a: int64", "s: float64"]
    np.testing.assert_array_equal(values(tmp_path / "chunks", "s"), [1.5, np.nan, np.nan])
    np.save(tmp_path / "x.npy", np.array([np.nan, 2.0]))
    split(tmp_path / "x.npy", tmp_path / "json", output_format="jsonl", num_chunks=2)
    np.testing.assert_array_equal(values(tmp_path / "json", "data"), [np.nan, 2.0])


# What must not change anything


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [{"shuffle": True}, {"chunk_bytes": 2000}, {"shuffle": True, "holdout": {"val": 0.3}}, {"num_chunks": 6}],
    ids=str,
)
def test_workers_blocks_and_buckets_change_nothing(
    options: dict[str, Any], dump: Path, tmp_path: Path, tree: Any, small_steps: Any
) -> None:
    output = tmp_path / "chunks"
    small_steps()
    split(dump, output, **options, overwrite=True)
    expected = tree(output)
    for block, pending, segment, workers in [(300, 500, 700, 1), (5000, 9000, 400, 3), (1, 2000, 10**6, 2)]:
        small_steps(block=block, pending=pending, segment=segment)
        split(dump, output, **options, workers=workers, overwrite=True)
        assert tree(output) == expected


@pytest.mark.slow
def test_two_seeds_give_two_orders(dump: Path, tmp_path: Path) -> None:
    orders = []
    for seed in (0, 1):
        split(dump, tmp_path / f"seed-{seed}", shuffle=True, seed=seed)
        orders.append(lines_of(tmp_path / f"seed-{seed}"))
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1])


@pytest.mark.slow
def test_rows_are_uniformly_random_over_chunks(tmp_path: Path, small_steps: Any) -> None:
    """Chi-squared, where each tenth of the input lands among ten chunks: 81 degrees of freedom, mean 81, sd 12.7."""
    (tmp_path / "dump.jsonl").write_text("".join(f'{{"id": {i}}}\n' for i in range(20_000)))
    small_steps(block=10_000, pending=50_000, segment=20_000)
    for seed in range(3):
        split(tmp_path / "dump.jsonl", tmp_path / f"{seed}", shuffle=True, seed=seed, num_chunks=10)
        ids = np.array([json.loads(line)["id"] for line in lines_of(tmp_path / f"{seed}")])
        table = np.histogram2d(ids // 2000, np.arange(20_000) // 2000, bins=10)[0]
        assert 30 < ((table - 200) ** 2 / 200).sum() < 160
        assert abs(np.corrcoef(ids, np.arange(20_000))[0, 1]) < 0.03
        assert np.mean(np.diff(ids) == 1) < 0.002


# How large


def test_the_default_is_at_least_sixteen_chunks(dump: Path, tmp_path: Path) -> None:
    counts = split(dump, tmp_path / "chunks").outputs[0].counts
    assert len(counts) == 16
    assert sum(counts) == 400


def test_chunks_cut_by_bytes_are_never_larger_unless_one_sample_is(tmp_path: Path) -> None:
    texts = ["a" * n for n in (10, 900, 20, 20, 3000, 5, 500, 490)]
    (tmp_path / "dump.jsonl").write_text("".join(json.dumps({"t": text}) + "\n" for text in texts))
    split(tmp_path / "dump.jsonl", tmp_path / "chunks", chunk_bytes="1kB")
    manifest = list_chunks(tmp_path / "chunks").manifest
    assert manifest is not None
    sizes = [chunk.raw_bytes for chunk in manifest.chunks]
    assert sum(sizes) == sum(len(text) for text in texts) + 10 * len(texts)
    assert [size for size in sizes if size > 1000] == [3010]


# How much memory


@pytest.mark.slow
@pytest.mark.parametrize("shuffle", [False, True])
def test_memory_stays_far_below_the_dump(shuffle: bool, tmp_path: Path) -> None:
    dump, num_bytes = tmp_path / "dump.jsonl", 0
    with open(dump, "wb") as file:
        block = b"".join(b'{"text": "%s"}\n' % (b"%07d" % i * 60) for i in range(5000))
        while num_bytes < 160 * 10**6:
            num_bytes += file.write(block)
    script = f"""
        from pyloader.inspecting.measuring import peak_bytes
        from pyloader.write import split
        before = peak_bytes()
        split({str(dump)!r}, {str(tmp_path / "chunks")!r}, shuffle={shuffle}, chunk_bytes="8MB", output_format="jsonl")
        print(peak_bytes() - before)
    """
    out = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True)
    assert int(out.stdout) < 120e6


def test_chunks_are_not_spelled_out_for_the_reports_of_the_threads(
    dump: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The repr of a chunk of 64 MiB takes as long as writing it."""

    def spelled_out(self: object) -> str:
        raise AssertionError("a repr of rows")

    monkeypatch.setattr(rows.Rows, "__repr__", spelled_out)
    assert split(dump, tmp_path / "chunks", num_chunks=5, workers=2).num_written == 5


class Noisy(Dataset):
    def batch_encode(self, columns: Columns, keys: np.ndarray) -> Columns:
        return {"id": keys}


def test_an_encoder_that_draws_at_random_is_for_the_loader(dump: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"Noisy.batch_encode takes keys: it draws anew in every epoch, and a split"):
        split(dump, tmp_path / "chunks", encode=Noisy())


def test_the_bar_names_the_unit_that_takes_longest(
    dump: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], small_steps: Any
) -> None:
    small_steps()
    monkeypatch.setattr(units, "_SLOW_SECONDS", 0)
    monkeypatch.setattr(bars, "LINE_SECONDS", 0.0)
    split(dump, tmp_path / "chunks", workers=2, progress=True)
    assert re.search(r"samples, slowest dump\.jsonl \d+ s", capsys.readouterr().err)
