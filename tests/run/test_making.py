"""Batches with lists are made in groups of several, and are what they would be one by one."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pyloader import DataLoader
from pyloader.errors import CollateError
from pyloader.run import making


def write_lines(directory, rows):
    directory.mkdir()
    half = len(rows) // 2
    for name, part in (("a", rows[:half]), ("b", rows[half:])):
        (directory / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
    return directory


def rows_of(count):
    """Rows with text, lists, numbers, and numbers that are null in some batches only."""
    return [
        {"id": i, "text": f"sample {i}", "pair": [i, -i], "tags": {"x": i}, "flag": None if i < 100 else i}
        for i in range(count)
    ]


@pytest.fixture
def group_sizes(monkeypatch):
    """How many batches each group had that was made."""
    sizes, made = [], making.MadeRows

    def noting(**fields):
        sizes.append(len(fields["sizes"]))
        return made(**fields)

    monkeypatch.setattr(making, "MadeRows", noting)
    return sizes


@pytest.mark.parametrize("options", [{}, {"shuffle": True, "shuffle_window": 2}, {"last_batch": "pad"}])
def test_batches_with_lists_are_the_same_in_groups_and_one_by_one(tmp_path, group_sizes, options):
    directory = write_lines(tmp_path / "lines", [{**row, "flag": str(row["id"])} for row in rows_of(303)])
    given = {"data_dir": directory, "batch_size": 8, "num_epochs": 2, "num_workers": 0, **options}
    together = list(DataLoader(**given))
    assert max(group_sizes) > 4
    group_sizes.clear()
    one_by_one = list(DataLoader(**given, max_bytes="1 GiB"))
    assert set(group_sizes) == {1}
    np.testing.assert_equal(together, one_by_one)


def test_a_batch_that_cannot_be_collated_is_an_error_after_those_before_it(tmp_path):
    rows = rows_of(60)
    rows[25]["pair"] = [1, 2, 3]
    del rows[30:]
    loader = DataLoader(data_dir=write_lines(tmp_path / "lines", rows * 2), batch_size=10, num_workers=0)
    batches = iter(loader)
    assert [next(batches)["id"][0] for _ in range(2)] == [0, 10]
    with pytest.raises(CollateError, match=r"'pair' has rows of 2 to 3 numbers.*\(epoch 0, step 2\)"):
        next(batches)
    assert loader.state_dict()["step"] == 2


@pytest.mark.parametrize("option", [{"max_bytes": "1 GiB"}, {"max_skipped": 3}])
@pytest.mark.slow
def test_batches_are_made_one_by_one_where_that_matters(tmp_path, group_sizes, option):
    directory = write_lines(tmp_path / "lines", [{"text": str(i)} for i in range(40)])
    with DataLoader(data_dir=directory, batch_size=4, num_epochs=1, **{"num_workers": 0, **option}) as loader:
        assert sum(len(batch["text"]) for batch in loader) == 40
    assert set(group_sizes) == {1}


def test_long_lines_are_made_in_smaller_groups(tmp_path, group_sizes):
    directory = write_lines(tmp_path / "lines", [{"text": "x" * 30_000} for _ in range(100)])
    assert len(list(DataLoader(data_dir=directory, batch_size=5, num_workers=0))) == 20
    assert max(group_sizes) == 10  # batches, where 2 MiB are a group, and 50 rows a chunk
