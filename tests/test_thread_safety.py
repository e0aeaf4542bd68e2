"""Thread safety: which parts several threads may call."""

from __future__ import annotations

import importlib
import inspect

import pytest

import pyloader.collate
import pyloader.encode
import pyloader.read
from pyloader import DataCollator, DataReader, Dataset, indexed
from pyloader.read import JsonlReader
from pyloader.thread_safety import is_thread_safe


class Renamed(JsonlReader):
    """Writes no method anew."""

    def __init__(self):
        super().__init__(columns=["text"])


class Shouting(JsonlReader):
    """Writes one anew, which may keep something between its calls."""

    def read_file(self, path):
        return {"text": path.upper()}, 1


class Safe(Shouting):
    """Says that it does not."""

    is_thread_safe = True


def transform(rows):
    return rows


def safe_transform(rows):
    return rows


safe_transform.is_thread_safe = True  # type: ignore[attr-defined]


@pytest.mark.parametrize("part", [None, JsonlReader(), Renamed(), Safe(), safe_transform])
def test_what_says_so_may_be_called_by_several_threads(part):
    assert is_thread_safe(part)


@pytest.mark.parametrize("part", [DataReader(), Dataset(), DataCollator(), Shouting(), transform, lambda rows: rows])
def test_what_is_written_anew_and_says_nothing_may_not(part):
    assert not is_thread_safe(part)


def test_an_object_may_say_so_of_itself():
    part = Shouting()
    part.is_thread_safe = True
    assert is_thread_safe(part) and not is_thread_safe(Shouting())


def test_what_calls_a_function_of_the_user_is_as_safe_as_that():
    pytest.importorskip("PIL")
    assert is_thread_safe(pyloader.encode.ImageDataset())
    assert not is_thread_safe(pyloader.encode.ImageDataset(augment=lambda images, keys: images))
    safe_transform.is_thread_safe = True  # type: ignore[attr-defined]
    assert is_thread_safe(pyloader.encode.ImageDataset(augment=safe_transform))


@pytest.mark.parametrize("name", ["torch", "tensorflow"])
def test_a_collator_of_a_framework_is_as_safe_as_what_makes_its_arrays(name):
    pytest.importorskip(name)
    kind = {"torch": "TorchDataCollator", "tensorflow": "TensorFlowDataCollator"}[name]
    collator = getattr(importlib.import_module(f"pyloader.{name}"), kind)
    assert is_thread_safe(collator()) and not is_thread_safe(collator(DataCollator()))


def test_all_of_ours_say_so():
    rooms = {pyloader.read: DataReader, pyloader.encode: Dataset, pyloader.collate: DataCollator}
    for module, base in {**rooms, indexed: indexed.Dataset}.items():
        for name in module.__all__:
            found = getattr(module, name)
            if isinstance(found, type) and issubclass(found, base) and not inspect.isabstract(found):
                assert found is base or "is_thread_safe" in vars(found), found
