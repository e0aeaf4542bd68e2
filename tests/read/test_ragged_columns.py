"""Directories of columns whose rows are of unequal length: NAME.values.npy and NAME.offsets.npy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pyloader import DataLoader, NumpyReader, PaddingDataCollator, Ragged
from pyloader.errors import ChunkReadError, ReadFileError
from pyloader.files.compressors import open_packed
from pyloader.testing import check_reader

TOKENS = Ragged.from_rows([[7, 8, 9], [], [1], [70_000]], dtype="int32")
IMAGES = Ragged.from_rows([b"to", b"", b"be\0", b"\xff"])
LABELS = np.arange(4)


def save(directory, **files) -> Path:
    directory.mkdir(exist_ok=True)
    for name, array in files.items():
        np.save(directory / f"{name.replace('__', '.')}.npy", array)
    return directory


@pytest.fixture
def chunk(tmp_path):
    return save(
        tmp_path / "a.columns",
        tokens__values=TOKENS.values,
        tokens__offsets=TOKENS.offsets,
        image__values=IMAGES.values.view("S1"),
        image__offsets=IMAGES.offsets,
        label=LABELS,
    )


@pytest.mark.parametrize("mmap", [False, True])
def test_the_contract_holds(chunk, mmap):
    columns = check_reader(NumpyReader(mmap=mmap), chunk)
    assert list(columns) == ["image", "label", "tokens"]
    assert columns["tokens"] == TOKENS
    assert columns["image"] == IMAGES


def test_values_are_mapped_and_not_copied(chunk):
    columns, _ = NumpyReader(mmap=True).read_file(str(chunk))
    again, _ = NumpyReader(mmap=True).read_file(str(chunk))
    for name in ("tokens", "image"):
        values = columns[name].values
        assert not values.flags.writeable
        assert not values.flags.owndata
        assert not np.shares_memory(values, again[name].values)


def test_packed_files_are_read_too(chunk):
    for file in list(chunk.iterdir()):
        with open_packed(f"{file}.zst", "wb") as packed:
            packed.write(file.read_bytes())
        file.unlink()
    assert NumpyReader().read_file(str(chunk))[0]["tokens"] == TOKENS


def test_values_alone_are_a_column_of_that_name(tmp_path):
    save(tmp_path / "a.columns", x__values=LABELS, y__offsets=LABELS)
    assert list(NumpyReader().read_file(str(tmp_path / "a.columns"))[0]) == ["x.values", "y.offsets"]


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize(
    ("values", "offsets", "what"),
    [
        (np.arange(4), np.array([0, 3, 2, 4]), "offsets must never fall: row 1 begins at 3 and ends at 2"),
        (np.arange(4), np.array([0, 5]), "offsets go from 0 to 5, and there are 4 values"),
        (np.arange(4), np.array([-1, 4]), "offsets go from -1 to 4, and there are 4 values"),
        (np.arange(4), np.array([0, 2**63], np.uint64), "offsets must fit in int64"),
        (np.arange(4), np.array([0.0, 4.0]), "offsets must be integers, not float64"),
        (np.arange(4), np.zeros((1, 1), int), r"offsets must be of shape \[rows \+ 1\], not \[1, 1\]"),
        (np.arange(4), np.zeros(0, int), r"offsets must be of shape \[rows \+ 1\], not \[0\]"),
        (np.zeros((2, 2)), np.array([0, 2]), r"values must be of one dimension, not of shape \[2, 2\]"),
        (np.array(["a"]), np.array([0, 1]), "values must be numbers, not <U1"),
        (np.array([b"ab"]), np.array([0, 1]), r"values must be numbers, not \|S2"),
        (np.zeros(2, [("x", "i4")]), np.array([0, 1]), "values must be numbers, not"),
    ],
)
def test_arrays_that_are_no_ragged_column_are_an_error_that_names_both_files(tmp_path, mmap, values, offsets, what):
    path = save(tmp_path / "a.columns", ids__values=values, ids__offsets=offsets)
    match = rf"a\.columns: ids\.values\.npy and ids\.offsets\.npy are not the column 'ids': {what}.*\. Fetch it again"
    with pytest.raises(ChunkReadError, match=match):
        NumpyReader(mmap=mmap).read_file(str(path))


def test_python_objects_stay_in_their_pickle(tmp_path):
    path = save(tmp_path / "a.columns", ids__values=np.array([None]), ids__offsets=np.array([0, 1]))
    with pytest.raises(ChunkReadError, match=r"ids\.values\.npy: holds Python objects \(a pickle\)"):
        NumpyReader().read_file(str(path))


def test_a_column_that_is_there_in_both_forms_is_an_error(tmp_path):
    path = save(tmp_path / "a.columns", ids__values=LABELS, ids__offsets=np.array([0, 4]), ids=LABELS)
    with pytest.raises(ChunkReadError, match=r"holds the column 'ids' twice, in ids\.npy and ids\.values\.npy"):
        NumpyReader().read_file(str(path))


def test_other_counts_of_rows_are_an_error_that_names_the_offsets(chunk):
    np.save(chunk / "label.npy", LABELS[:3])
    with pytest.raises(ChunkReadError, match=r"image\.offsets\.npy has 4 rows and label\.npy has 3\."):
        NumpyReader().read_file(str(chunk))


def test_chunks_of_other_dtypes_are_an_error(chunk, tmp_path):
    save(tmp_path / "b.columns", tokens__values=TOKENS.values.astype("u2"), tokens__offsets=TOKENS.offsets)
    for name in ("image.values", "image.offsets", "label"):
        (chunk / f"{name}.npy").unlink()
    with (
        pytest.raises(
            ReadFileError, match="has 'tokens' as ragged rows of uint16, not 'tokens' as ragged rows of int32"
        ),
        DataLoader(data_dir=tmp_path, datacollator=PaddingDataCollator(), batch_size=2, num_epochs=1) as loader,
    ):
        list(loader)


def test_a_loader_makes_padded_arrays_and_lists_of_bytes_of_them(chunk):
    with DataLoader(data_dir=chunk.parent, datacollator=PaddingDataCollator(), batch_size=4, num_epochs=1) as loader:
        (batch,) = loader
    assert batch["tokens"].tolist() == [[7, 8, 9], [0, 0, 0], [1, 0, 0], [70_000, 0, 0]]
    assert batch["tokens"].dtype == np.int32
    assert batch["image"] == IMAGES.to_list()


def test_offsets_of_mapped_columns_are_a_copy_that_nobody_changes(chunk):
    columns, _ = NumpyReader(mmap=True).read_file(str(chunk))
    offsets = np.load(chunk / "tokens.offsets.npy", mmap_mode="r+")
    offsets[:] = 2**40
    offsets.flush()
    assert columns["tokens"].to_list() == TOKENS.to_list()
