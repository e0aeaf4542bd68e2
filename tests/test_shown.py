"""What a notebook, the interactive interpreter and a traceback show."""

from __future__ import annotations

import re
import traceback

import numpy as np
import pytest
from numbered import loader_of, write_chunks

from pyloader import DataCollator, DataLoader, DataReader, indexed, split
from pyloader.errors import CollateError, CoverageError, ReadFileError, drop_own_frames
from pyloader.files.manifest import read_manifest


def frames_of(error):
    """Return the names of the files in a traceback, less that of this one."""
    return [frame.filename.rpartition("/")[2] for frame in traceback.extract_tb(error.__traceback__)][1:]


def test_stats_are_shown_as_their_text(tmp_path):
    with loader_of(write_chunks(tmp_path, [20]), batch_size=8) as loader:
        list(loader)
        assert repr(loader.stats()) == str(loader.stats())
        assert repr(loader.stats()).startswith("3 steps, 20 samples in ")


def test_a_split_is_shown_as_its_text(tmp_path):
    (tmp_path / "dump.jsonl").write_text('{"number": 1, "text": "a"}\n' * 100)
    report = split(tmp_path / "dump.jsonl", tmp_path / "chunks", num_chunks=4)
    main, columns, took = repr(report).splitlines()
    assert main.startswith(f"{tmp_path}/chunks   100 samples in 4 chunks of jsonl, ")
    assert columns == "columns: number: int64, text: str"
    assert took.startswith("4 written in ")


def cells_of(shown):
    """Return the title and the cells of what a notebook shows."""
    title = re.search("<caption.*?>(.*?)</caption>", shown)
    return title[1], dict(re.findall("<th.*?>(.*?)</th><td.*?>(.*?)</td>", shown))


def test_a_notebook_shows_loaders_and_stats_as_short_tables(tmp_path):
    with loader_of(write_chunks(tmp_path, [20]), batch_size=8, last_batch="keep") as loader:
        title, cells = cells_of(loader._repr_html_())
        assert (title, cells["an epoch"]) == ("DataLoader", "has unknown length") and "so far" not in cells
        list(loader)
        _, cells = cells_of(loader._repr_html_())
        assert cells["position"] == "3 steps and 1 whole epoch done" and "samples/s" in cells["so far"]
        title, cells = cells_of(loader.stats()._repr_html_())
    assert title.startswith("3 steps, 20 samples in ") and cells["lost"].startswith("0 dropped")
    assert " · first batch " in cells["the loop"]
    with indexed.DataLoader({"x": np.arange(4)}, batch_size=2, last_batch="drop") as items:
        assert cells_of(items._repr_html_())[1]["an epoch"] == "2 steps"


def test_a_notebook_shows_splits_and_manifests_and_no_name_is_markup(tmp_path):
    (tmp_path / "dump.jsonl").write_text('{"<b>": 1, "te\u202ext": "a"}\n' * 100)
    report = split(tmp_path / "dump.jsonl", tmp_path / "<i>chunks", num_chunks=4)
    title, cells = cells_of(report._repr_html_())
    assert title.startswith("split: 4 written in ")
    assert cells["columns"] == "&lt;b&gt;: int64, te\\u202ext: str"
    shown = read_manifest(tmp_path / "<i>chunks" / "manifest.json")._repr_html_()
    title, cells = cells_of(shown)
    assert (title, cells["samples"], cells["reader"]) == ("chunks", "100 in 4 chunks", "jsonl")
    assert "<b>" not in shown and "<i>" not in report._repr_html_() + shown


def test_a_loader_is_shown_with_what_is_not_its_default(tmp_path):
    directory = write_chunks(tmp_path, [20, 20])
    loader = loader_of(directory, batch_size=8, shuffle=True, nulls={"age": -1})
    assert repr(loader) == (
        f"DataLoader(datareader=NumberedReader(), data_dir='{directory} (2 chunks)', shuffle=True, seed=42, "
        "batch_size=8, shuffle_window=4, nulls={'age': -1})"
    )


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_error_in_the_data_shows_the_loop_and_not_the_way_through_the_loader(tmp_path, num_workers):
    (tmp_path / "a.jsonl").write_text('{"age": 1}\n{"age": null}\n')
    with pytest.raises(CollateError) as caught:
        list(DataLoader(data_dir=tmp_path, num_workers=num_workers))
    assert frames_of(caught.value) == ["loop.py"]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_error_out_of_the_users_code_shows_the_whole_way(tmp_path, num_workers):
    class Reads(DataReader):
        def read_file(self, path):
            raise ReadFileError(path, "is not mine.")

    class Collates(DataCollator):
        def collate_batch(self, columns):
            raise CollateError("no batch today.")

    directory = write_chunks(tmp_path, [20])
    for options, error in (({"datareader": Reads()}, ReadFileError), ({"datacollator": Collates()}, CollateError)):
        with pytest.raises(error) as caught:
            list(
                loader_of(directory, **options)
                if "datacollator" in options
                else DataLoader(data_dir=directory, **options)
            )
        assert frames_of(caught.value)[-1] == "test_shown.py"
        assert len(frames_of(caught.value)) > 3


def test_an_error_that_is_to_be_reported_keeps_its_frames():
    names = {"__name__": "pyloader.run", "CoverageError": CoverageError, "CollateError": CollateError}
    for error, stays in ((CoverageError, True), (CollateError, False)):
        with pytest.raises(error) as caught:
            exec(f"raise {error.__name__}('lost')", names)
        caught.value.__traceback__ = caught.value.__traceback__.tb_next  # this file's own frame is the user's
        drop_own_frames(caught.value)
        assert (caught.value.__traceback__ is not None) == stays
