"""The laws over arrays and tables that other libraries wrote, indexed in parts of a few rows."""

from __future__ import annotations

from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from arrays_of_others import WRITERS

from pyloader import DataLoader, PaddingDataCollator, World
from pyloader.cli.main import main
from pyloader.testing import LOADER_CHECKS, check_loader
from pyloader.testing.order import check_exactly_once, check_same_batches
from pyloader.testing.resuming import check_ranks, check_resume

QUICK = [check_exactly_once, check_same_batches, check_resume, check_ranks]
SLOW = [check for check in LOADER_CHECKS if check not in QUICK]
COUNT, FILES = 10, 3


@pytest.fixture(scope="module")
def make_loader(request, tmp_path_factory):
    """Make loaders over some files of a format, indexed in parts of two rows."""
    directory: Path = tmp_path_factory.mktemp(request.param)
    WRITERS[request.param](directory, COUNT, FILES)
    assert main(["index", str(directory), "--chunk-samples", "2", "--checksums", "--quiet"]) == 0
    return partial(
        DataLoader, data_dir=directory, batch_size=4, shuffle=True, datacollator=PaddingDataCollator(pad_value=0)
    )


@pytest.mark.slow
@pytest.mark.parametrize("check", QUICK, ids=lambda check: check.__name__)
@pytest.mark.parametrize("make_loader", WRITERS, indirect=True)
def test_arrays_of_others_keep_the_laws(make_loader, check):
    assert check_loader(make_loader, checks=[check]) == {check.__name__: "kept"}


@pytest.mark.frameworks
@pytest.mark.parametrize("check", SLOW, ids=lambda check: check.__name__)
@pytest.mark.parametrize("make_loader", WRITERS, indirect=True)
def test_arrays_of_others_keep_the_other_laws(make_loader, check):
    (found,) = check_loader(make_loader, checks=[check]).values()
    assert found == "kept" or found.startswith("left out")


@pytest.mark.slow
@pytest.mark.parametrize("make_loader", WRITERS, indirect=True)
def test_a_few_files_are_enough_for_eight_ranks(make_loader):
    loaders = [
        make_loader(batch_size=1, world=World(rank, 8), num_epochs=1, num_workers=0, last_batch="drop")
        for rank in range(8)
    ]
    try:
        steps = {len(loader) for loader in loaders}
        batches = [list(islice(loader, COUNT * FILES)) for loader in loaders]
    finally:
        for loader in loaders:
            loader.close()
    assert {len(seen) for seen in batches} == steps
    ids = np.concatenate([batch["id"] for seen in batches for batch in seen])
    assert len(set(ids.tolist())) == len(ids) == COUNT * FILES // 8 * 8
    for batch in (batch for seen in batches for batch in seen):
        np.testing.assert_array_equal(batch["vector"][:, 0], batch["id"])
        assert batch["text"] == [f"text {number} é" for number in batch["id"].tolist()]
