"""Every error can be shown, and survives the trip between processes."""

from __future__ import annotations

import pickle

import pytest

import pyloader.errors
from pyloader.errors import (
    BadRowsError,
    ChunkReadError,
    DataDirError,
    FileError,
    MissingDependencyError,
    PyLoaderError,
)


def family(error_class: type[PyLoaderError]) -> list[type[PyLoaderError]]:
    return [error_class, *(heir for child in error_class.__subclasses__() for heir in family(child))]


ALL = family(PyLoaderError)


def an_error(error_class: type[PyLoaderError]) -> PyLoaderError:
    if issubclass(error_class, FileError):
        return error_class("chunks/a.jsonl", "ends early.", "Fetch it again", line=1803)
    if error_class is BadRowsError:
        return BadRowsError({4: "is empty", 2: "is no image"}, "Leave them out")
    return error_class("batch_encode got 16 rows and returned 14.", "Filter in read_file")


@pytest.mark.parametrize("error_class", ALL)
def test_errors_survive_the_trip_between_processes(error_class):
    error = an_error(error_class)
    arrived = pickle.loads(pickle.dumps(error))
    assert type(arrived) is error_class
    assert str(arrived) == str(error)
    assert vars(arrived) == vars(error)


@pytest.mark.parametrize("error_class", ALL)
def test_an_error_shows_what_was_found_and_what_to_do(error_class):
    error = an_error(error_class)
    assert error.what in str(error)
    assert str(error).endswith(error.hint)


@pytest.mark.parametrize("error_class", ALL)
def test_every_error_is_public_drawn_in_the_tree_and_says_what_it_means(error_class):
    assert error_class.__name__ in pyloader.errors.__all__
    assert f"{error_class.__name__} " in (pyloader.errors.__doc__ or "") or error_class is PyLoaderError
    assert error_class.__doc__


def test_a_file_error_names_the_line_where_there_is_one():
    assert str(ChunkReadError("a.jsonl", "is no JSON.", "Mend it", line=7)) == "a.jsonl:7: is no JSON. Mend it"
    assert str(ChunkReadError("a.npy", "is cut short.")) == "a.npy: is cut short."


def test_an_error_about_a_directory_is_a_sentence_about_it():
    error = DataDirError("chunks/", "holds two chunk sets, train/ and val/.", "Name one: data_dir='chunks/train'")
    assert str(error) == "chunks/ holds two chunk sets, train/ and val/. Name one: data_dir='chunks/train'"


def test_bad_rows_are_told_by_the_first_of_them():
    error = BadRowsError({4: "is empty", 2: "is no image"}, "Leave them out")
    assert str(error) == "row 2 of the batch: is no image; 1 more of the batch cannot be encoded. Leave them out"
    with pytest.raises(ValueError, match="needs the rows that are bad"):
        BadRowsError({})


def test_a_missing_package_is_an_import_error_too():
    assert issubclass(MissingDependencyError, ImportError)
