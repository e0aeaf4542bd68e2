"""The laws over shards that other libraries wrote, indexed in parts where they can be cut."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from shards import SHARDS

from pyloader import DataLoader, MDSReader, PaddingDataCollator, TFRecordReader, WebDatasetReader
from pyloader.cli.main import main
from pyloader.testing import LOADER_CHECKS, check_loader
from pyloader.testing.order import check_exactly_once, check_same_batches
from pyloader.testing.resuming import check_ranks, check_resume

# Shard -> the reader that is given; None: the one that the index names.
READERS: dict[str, Any] = {
    "a.tar": WebDatasetReader(decode={"cls": int, "npy": "npy"}),
    "a.tfrecord": TFRecordReader(ragged=["tokens", "words"]),
    "mds/shard.00000.mds": MDSReader(columns=["id", "image", "tokens", "vector"]),
    "mds-zstd/shard.00000.mds.zstd": MDSReader(columns=["id", "text", "half"]),
    "a.bin": None,
}
QUICK = [check_exactly_once, check_same_batches, check_resume, check_ranks]
SLOW = [check for check in LOADER_CHECKS if check not in QUICK]


@pytest.fixture(scope="module")
def make_loader(request, tmp_path_factory):
    """Make loaders over three copies of a shard, indexed in parts of a few samples."""
    shard = SHARDS / request.param
    if ".tfrecord" in shard.suffixes:
        pytest.importorskip("google_crc32c")
    directory: Path = tmp_path_factory.mktemp("shards")
    for number in range(3):
        stem, _, suffix = shard.name.partition(".")
        shutil.copy(shard, directory / f"{stem}{number}.{suffix}")
        if shard.suffix == ".bin":
            shutil.copy(shard.with_suffix(".idx"), directory / f"{stem}{number}.idx")
    assert main(["index", str(directory), "--chunk-samples", "2", "--quiet"]) == 0
    return partial(
        DataLoader,
        READERS[request.param],
        data_dir=directory,
        batch_size=4,
        shuffle=True,
        datacollator=PaddingDataCollator(pad_value=0),
    )


@pytest.mark.slow
@pytest.mark.parametrize("check", QUICK, ids=lambda check: check.__name__)
@pytest.mark.parametrize("make_loader", READERS, indirect=True)
def test_shards_of_others_keep_the_laws(make_loader, check):
    assert check_loader(make_loader, checks=[check]) == {check.__name__: "kept"}


@pytest.mark.frameworks
@pytest.mark.parametrize("check", SLOW, ids=lambda check: check.__name__)
@pytest.mark.parametrize("make_loader", READERS, indirect=True)
def test_shards_of_others_keep_the_other_laws(make_loader, check):
    (found,) = check_loader(make_loader, checks=[check]).values()
    assert found == "kept" or found.startswith("left out")
