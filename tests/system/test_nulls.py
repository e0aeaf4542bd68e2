"""`nulls=`: a column of numbers with gaps is an array of one dtype in every batch, wherever its gaps lie."""

from __future__ import annotations

import csv
import json
import math
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from pyloader import DataLoader, DataReader, Dataset, ParquetReader
from pyloader.cli.main import main
from pyloader.errors import ChunkReadError, CollateError, ReadFileError

NAN = math.nan
# Gaps in the last chunk only; "whole" has none.
SAMPLES = [
    {
        "age": None if row >= 28 else row,
        "score": None if row == 29 else row / 2,
        "whole": row,
        "name": None if row == 25 else f"sample {row}",
    }
    for row in range(30)
]
FORMATS = pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])


def write(directory: Path, suffix: str, samples=SAMPLES, *, num_chunks=3) -> Path:
    directory.mkdir(exist_ok=True)
    size = -(-len(samples) // num_chunks)
    for number in range(num_chunks):
        path, rows = directory / f"chunk-{number}.{suffix}", samples[size * number : size * (number + 1)]
        if suffix == "jsonl":
            path.write_text("".join(json.dumps(sample) + "\n" for sample in rows))
        elif suffix == "csv":
            with open(path, "w", newline="") as file:
                writer = csv.DictWriter(file, list(samples[0]))
                writer.writeheader()
                writer.writerows(rows)
        else:
            arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
            schema = arrow.Table.from_pylist(samples).schema
            parquet.write_table(arrow.Table.from_pylist(rows, schema), path)
    return directory


def column(directory: Path, name: str, **options):
    """Return a column over all batches, having checked that it is of one dtype in all of them."""
    options = {"batch_size": 7, "num_workers": 0, **options}
    with DataLoader(data_dir=directory, **options) as loader:
        parts = [batch[name] for batch in loader]
    assert len({part.dtype for part in parts}) == 1, f"{name} is {[part.dtype for part in parts]}"
    return np.concatenate(parts)


def wanted(name: str, value=NAN):
    return [value if sample[name] is None else sample[name] for sample in SAMPLES]


@FORMATS
@pytest.mark.parametrize("is_indexed", [False, True])
def test_nan_stands_for_null_in_every_column_of_numbers(tmp_path, suffix, is_indexed):
    write(tmp_path, suffix)
    if is_indexed:
        assert main(["index", str(tmp_path), "-q"]) == 0
    for name in ("age", "score"):
        found = column(tmp_path, name, nulls="nan")
        assert found.dtype == np.float64
        np.testing.assert_equal(found.tolist(), wanted(name))
    # Without a manifest nobody knows that no chunk has a gap in this one.
    whole = column(tmp_path, "whole", nulls="nan")
    assert whole.dtype == (np.int64 if is_indexed else np.float64)
    assert whole.tolist() == wanted("whole")


@pytest.mark.slow
@FORMATS
@pytest.mark.parametrize("options", [{"num_workers": 2}, {"worker_kind": "process"}, {"max_skipped": 2}], ids=str)
def test_threads_and_processes_have_the_same_batches(tmp_path, suffix, options):
    if "worker_kind" in options:
        pytest.importorskip("cloudpickle")
    write(tmp_path, suffix)
    given = {"nulls": "nan", "shuffle": True, "seed": 3}
    plain = column(tmp_path, "age", **given)
    np.testing.assert_equal(column(tmp_path, "age", **{"num_workers": 1, **options, **given}), plain)


@FORMATS
@pytest.mark.parametrize("is_indexed", [False, True])
def test_with_an_integer_for_null_integers_stay_integers(tmp_path, suffix, is_indexed):
    write(tmp_path, suffix)
    if is_indexed:
        assert main(["index", str(tmp_path), "-q"]) == 0
    nulls = {"age": -1, "score": -1.0}
    age, score = column(tmp_path, "age", nulls=nulls), column(tmp_path, "score", nulls=nulls)
    assert (age.dtype, age.tolist()) == (np.int64, wanted("age", -1))
    assert (score.dtype, score.tolist()) == (np.float64, wanted("score", -1.0))


@FORMATS
def test_a_column_that_is_named_has_the_same_dtype_without_a_gap(tmp_path, suffix):
    """So that a validation set without gaps fits the model of a training set with some."""
    write(tmp_path, suffix)
    assert main(["index", str(tmp_path), "-q"]) == 0
    assert column(tmp_path, "whole", nulls={"age": NAN, "score": NAN, "whole": NAN}).dtype == np.float64


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_strings_stay_none_unless_a_string_is_given_for_them(tmp_path, suffix):
    write(tmp_path, suffix)

    def names(nulls):
        with DataLoader(data_dir=tmp_path, batch_size=30, nulls=nulls) as loader:
            return next(loader)["name"]

    assert names("nan") == wanted("name", None)
    assert names({"age": 0, "score": 0.0, "name": "nobody"}) == wanted("name", "nobody")


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_truth_values_with_a_gap_become_numbers_or_stay_what_they_are(tmp_path, suffix):
    write(tmp_path, suffix, [{"seen": value} for value in (True, False, True, False, None, True)])
    assert column(tmp_path, "seen", nulls="nan").dtype == np.float64
    np.testing.assert_equal(column(tmp_path, "seen", nulls="nan").tolist(), [1, 0, 1, 0, NAN, 1])
    filled = column(tmp_path, "seen", nulls={"seen": False})
    assert (filled.dtype, filled.tolist()) == (np.bool_, [True, False, True, False, False, True])
    assert column(tmp_path, "seen", nulls={"seen": -1}).tolist() == [1, 0, 1, 0, -1, 1]


@FORMATS
def test_a_chunk_of_nothing_but_nulls_is_like_the_others(tmp_path, suffix):
    samples = [{"id": row, "age": None if row < 4 else row} for row in range(8)]
    write(tmp_path, suffix, samples, num_chunks=2)
    np.testing.assert_equal(column(tmp_path, "age", nulls={"age": NAN}).tolist(), [NAN] * 4 + [4, 5, 6, 7])
    assert column(tmp_path, "age", nulls={"age": -1}).tolist() == [-1] * 4 + [4, 5, 6, 7]
    assert main(["index", str(tmp_path), "-q"]) == 0
    np.testing.assert_equal(column(tmp_path, "age", nulls="nan").tolist(), [NAN] * 4 + [4, 5, 6, 7])


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_a_chunk_of_nothing_but_nulls_does_not_tell_its_kind_and_the_error_says_to_name_it(tmp_path, suffix):
    write(tmp_path, suffix, [{"id": row, "age": None if row < 4 else row} for row in range(8)], num_chunks=2)
    match = r"'age' as .*DataLoader\(nulls=\{\.\.\.: float\(\"nan\"\)\} for this column\)"
    with pytest.raises(ReadFileError, match=match):
        list(DataLoader(data_dir=tmp_path, nulls="nan"))
    assert len(column(tmp_path, "age", nulls={"age": NAN})) == 8


def test_whole_numbers_in_one_chunk_and_fractions_in_another_go_together(tmp_path):
    ages = [1, None, 2, 0.5, None, 1.5]
    write(tmp_path, "jsonl", [{"age": age} for age in ages], num_chunks=2)
    np.testing.assert_equal(column(tmp_path, "age", nulls="nan").tolist(), [NAN if a is None else a for a in ages])
    assert main(["index", str(tmp_path), "-q"]) == 0
    assert main(["verify", str(tmp_path), "-q"]) == 0
    np.testing.assert_equal(column(tmp_path, "age", nulls="nan").tolist(), [NAN if a is None else a for a in ages])
    assert column(tmp_path, "age", nulls={"age": -1}).tolist() == [-1 if age is None else age for age in ages]


def test_parquet_keeps_the_width_of_its_numbers_and_makes_nat_of_dates(tmp_path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    for number, gap in enumerate([None, 1]):
        table = {
            "half": arrow.array([None if gap is None else np.float16(gap), np.float16(1)], arrow.float16()),
            "single": arrow.array([gap, 1.5], arrow.float32()),
            "small": arrow.array([gap, 7], arrow.int8()),
            "large": arrow.array([gap, 2**63 + 2**11], arrow.uint64()),
            "kind": arrow.array([None if gap is None else 3, 4], arrow.int64()).dictionary_encode(),
            "day": arrow.array([None if gap is None else datetime(2024, 5, 1), datetime(2024, 5, 2)]),
        }
        parquet.write_table(arrow.table(table), tmp_path / f"chunk-{number}.parquet")
    dtypes = {"half": "f2", "single": "f4", "small": "f8", "large": "f8", "kind": "f8", "day": "M8[us]"}
    for name, dtype in dtypes.items():
        found = column(tmp_path, name, nulls="nan")
        assert found.dtype == np.dtype(dtype)
        assert np.isnan(found.astype(dtype)).tolist() == [True, False, False, False]

    def alone(name, value):
        return column(tmp_path, name, datareader=ParquetReader(columns=[name]), nulls={name: value})

    assert (alone("small", -1).dtype, alone("small", 1000).dtype) == (np.int8, np.int64)
    assert alone("large", 0).tolist() == [0, 2**63 + 2**11, 1, 2**63 + 2**11]
    assert (alone("single", 0).dtype, alone("day", NAN).dtype) == (np.float32, np.dtype("M8[us]"))
    with pytest.raises(ReadFileError, match=r"'day' as .*Say what stands for null, DataLoader\(nulls=\"nan\"\)"):
        list(DataLoader(ParquetReader(columns=["day"]), data_dir=tmp_path))


def test_lists_of_a_reader_of_ones_own_are_filled_and_its_arrays_stay(tmp_path):
    class Own(DataReader):
        def read_file(self, path):
            return {"gaps": [1, None, 3], "full": [1, 2, 3], "array": np.arange(3), "text": ["a", None, "c"]}

    write(tmp_path, "jsonl", num_chunks=1)
    with DataLoader(Own(), data_dir=tmp_path, nulls="nan") as loader:
        batch = next(loader)
    dtypes = {name: getattr(values, "dtype", None) for name, values in batch.items()}
    assert dtypes == {"gaps": np.float64, "full": np.float64, "array": np.int64, "text": None}


def test_batch_encode_gets_the_arrays(tmp_path):
    class Mean(Dataset):
        def batch_encode(self, columns):
            return {"age": np.nan_to_num(columns["age"], nan=float(np.nanmean(columns["age"])))}

    with DataLoader(dataset=Mean(), data_dir=write(tmp_path, "parquet"), batch_size=30, nulls="nan") as loader:
        assert next(loader)["age"].tolist() == wanted("age", 13.5)


@FORMATS
def test_without_it_a_null_is_an_error_that_names_it_and_its_remedy_works(tmp_path, suffix):
    write(tmp_path, suffix, num_chunks=1)
    match = r"'age' has None among numbers, in row 28 .*\. Say what stands for it: DataLoader\(nulls=\"nan\"\) or "
    with pytest.raises(CollateError, match=match):
        list(DataLoader(data_dir=tmp_path, batch_size=30))
    assert len(column(tmp_path, "age", nulls={"age": 0, "score": 0.0})) == 30


def test_a_number_that_float64_cannot_hold_beside_nan_is_an_error_whose_remedy_works(tmp_path):
    for suffix in ("jsonl", "csv", "parquet"):
        directory = write(tmp_path / suffix, suffix, [{"id": 2**53 + 1, "b": 0}, {"id": None, "b": 0}], num_chunks=1)
        with pytest.raises(ChunkReadError, match=r"row 1: 'id' is 9007199254740993, and float64.*nulls=\{\.\.\.: -1\}"):
            column(directory, "id", nulls="nan")
        assert column(directory, "id", nulls={"id": -1}).tolist() == [2**53 + 1, -1]


@pytest.mark.parametrize(
    ("nulls", "error", "match"),
    [
        ("NaN", TypeError, r"nulls must be \"nan\", or a dict, column -> what stands for null there, got 'NaN'"),
        (0, TypeError, r"nulls must be \"nan\", or a dict"),
        ({"age": None}, TypeError, r"nulls\['age'\] must be a number or a str, got None"),
        ({"age": 2**63}, ValueError, r"nulls\['age'\] must fit in int64, got 9223372036854775808"),
        ({"agee": 0}, ValueError, r"nulls names the column 'agee'; the chunks have 'age', 'name', 'score', 'whole'"),
    ],
)
def test_what_it_cannot_be_is_refused_when_the_loader_is_made(tmp_path, nulls, error, match):
    write(tmp_path, "jsonl")
    assert main(["index", str(tmp_path), "-q"]) == 0
    with pytest.raises(error, match=match):
        DataLoader(data_dir=tmp_path, nulls=nulls)


@pytest.mark.parametrize(
    ("nulls", "match"),
    [
        ({"agee": 0}, r"has columns \['age', .*\], and nulls names 'agee'"),
        ({"name": 0}, r"row 1: 'name' is of type str, and nulls gives 0 for it\. Name another value"),
        ({"whole": ""}, r"row 1: 'whole' is of type int, and nulls gives '' for it\. Name another value"),
    ],
)
def test_what_does_not_go_with_a_chunk_is_an_error_that_names_it(tmp_path, nulls, match):
    with pytest.raises(ChunkReadError, match=match):
        list(DataLoader(data_dir=write(tmp_path, "jsonl"), nulls=nulls))


def test_a_reader_that_is_shared_reads_for_other_loaders_as_before(tmp_path):
    write(tmp_path, "parquet", num_chunks=1)
    reader = ParquetReader()
    with DataLoader(reader, data_dir=tmp_path, nulls="nan") as loader:
        next(loader)
    assert reader.read_file(str(tmp_path / "chunk-0.parquet"))[0]["age"] == wanted("age", None)


def test_the_state_knows_nothing_of_it(tmp_path):
    """It changes values, not their order: as a collator may."""
    write(tmp_path, "jsonl")
    with DataLoader(data_dir=tmp_path, nulls="nan") as loader:
        next(loader)
        state = loader.state_dict()
    with DataLoader(data_dir=tmp_path, nulls={"age": -1, "score": -1.0}) as loader:
        loader.load_state_dict(state)
        assert next(loader)["age"].tolist() == wanted("age", -1)[16:]
