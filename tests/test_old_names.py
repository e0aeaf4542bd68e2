"""Names as they were in the systems whose work is taken up: they work, or say what to write."""

import importlib

import pytest

import pyloader
from pyloader import indexed


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("dataset", "Dataset"),
        ("dataset", "TextDataset"),
        ("dataset", "PAD_"),
        ("dataset", "PAD_IDX"),
        ("datacollator", "DataCollator"),
        ("datacollator", "NumpyDataCollator"),
        ("datareader", "DataReader"),
        ("datareader", "JsonLineDataReader"),
        ("dataloader", "DataLoader"),
        ("dataloader", "MAX_QUEUE_SIZE"),
    ],
)
def test_names_are_found_in_the_modules_of_pyloader_0_5_too(module, name):
    assert getattr(importlib.import_module(f"pyloader.{module}"), name) is getattr(pyloader, name)


@pytest.mark.parametrize("module", ["dataset", "datacollator", "datareader"])
def test_a_name_that_never_was_is_missing_as_usual(module):
    with pytest.raises(AttributeError, match=f"module 'pyloader.{module}' has no attribute 'TextReader'"):
        _ = importlib.import_module(f"pyloader.{module}").TextReader


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("DataloaderBuilder", r"Write DataLoaderBuilder\(batcher\)"),
        ("Dataloader", r"Write DataLoader\(dataset, .*starts_over=True, transform=list\)"),
        ("ddp_sharding", "in pyloader.jax"),
    ],
)
def test_an_import_line_of_loadax_is_told_what_to_write(name, advice):
    with pytest.raises(ImportError, match=f"pyloader.indexed has no {name}. .*{advice}"):
        exec(f"from pyloader.indexed import {name}")
    assert name not in dir(indexed)


def test_what_was_made_of_a_path_is_told_what_to_write():
    with pytest.raises(TypeError, match=r'Dataset\(\) takes no arguments. Of a .npz write NPDataset\(path, "data"\)'):
        indexed.Dataset("train.npz", "data", "label")  # type: ignore[abstract]
    with pytest.raises(TypeError, match=r"a Batcher makes batches, .*: DataLoaderBuilder\(batcher\)"):
        indexed.DataLoader(indexed.Batcher(list))


def test_a_dataset_without_arguments_takes_none():
    class Three(indexed.Dataset):
        def __len__(self):
            return 3

        def take(self, indices):
            return indices

    assert list(Three()) == [0, 1, 2]
    with pytest.raises(TypeError, match=r"^Three\(\) takes no arguments$"):
        Three(5)
