"""Ragged columns through the whole loader: in processes, within a bound of bytes, audited, and where none is padded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pyloader import (
    ChunkWriter,
    DataCollator,
    DataLoader,
    DataReader,
    Dataset,
    NumpyDataCollator,
    NumpyReader,
    PaddingDataCollator,
    Ragged,
    World,
)
from pyloader.audit import audit_epochs
from pyloader.cli.main import main
from pyloader.columns import columns_bytes
from pyloader.errors import BatchEncodeError, ChunkReadError, CollateError, MemoryBoundError
from pyloader.files import list_chunks

NUM_ROWS = 240
IDS = np.arange(NUM_ROWS)
COLUMNS: dict[str, Any] = {
    "id": IDS,
    "tokens": Ragged(np.repeat(IDS, IDS % 7).astype("u2"), np.cumsum([0, *(IDS % 7)])),
    "image": Ragged.from_rows([bytes([number % 256]) * (number % 40) for number in range(NUM_ROWS)]),
}


@pytest.fixture
def chunks(tmp_path):
    with ChunkWriter(tmp_path / "chunks", chunk_samples=25) as writer:
        writer.write_columns(COLUMNS)
    return tmp_path / "chunks"


def loader_of(chunks, **options) -> DataLoader:
    given = {"datacollator": PaddingDataCollator(), "batch_size": 16, "shuffle": True, "num_epochs": 1}
    return DataLoader(data_dir=chunks, **{**given, **options})


def checked(batches) -> list[list[int]]:
    """Return each batch's numbers, having compared its other columns with them."""
    found = []
    for batch in batches:
        ids = batch["id"].tolist()
        longest = max(number % 7 for number in ids)
        assert batch["tokens"].dtype == np.uint16
        assert batch["tokens"].tolist() == [[n] * (n % 7) + [0] * (longest - n % 7) for n in ids]
        assert batch["image"] == [COLUMNS["image"][number] for number in ids]
        found.append(ids)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("window", "last_batch"), [(1, "keep"), (3, "wrap")])
def test_worker_processes_give_the_batches_of_threads(chunks, window, last_batch):
    options = {"shuffle_window": window, "last_batch": last_batch}
    inline = checked(loader_of(chunks, num_workers=0, **options))
    assert sorted({number for ids in inline for number in ids}) == IDS.tolist()
    with loader_of(chunks, num_workers=1, worker_kind="process", **options) as loader:
        assert checked(loader) == inline


@pytest.mark.parametrize("window", [1, 3])
def test_what_is_resident_stays_within_max_bytes(chunks, window):
    wanted = checked(loader_of(chunks, shuffle_window=window, max_queue_size=5))
    limit = columns_bytes(COLUMNS)
    with loader_of(chunks, shuffle_window=window, max_queue_size=5, max_bytes=limit) as loader:
        assert checked(loader) == wanted
        assert 0 < loader.stats().resident_bytes_peak <= limit


def test_a_bound_that_holds_no_chunk_is_an_error(chunks):
    with pytest.raises(MemoryBoundError, match="max_bytes=900 cannot hold"), loader_of(chunks, max_bytes=900) as loader:
        next(iter(loader))


def test_an_audit_finds_every_row_once(chunks, tmp_path):
    with loader_of(chunks, audit_dir=tmp_path / "receipts", shuffle_window=3) as loader:
        checked(loader)
    audit = audit_epochs(tmp_path / "receipts", list_chunks(chunks))
    assert not audit.findings


@pytest.mark.slow
def test_chunks_that_are_mapped_give_the_same_batches(chunks):
    options = {"shuffle_window": 3, "num_workers": 0}
    assert checked(loader_of(chunks, datareader=NumpyReader(mmap=True), **options)) == checked(
        loader_of(chunks, **options)
    )


@pytest.mark.parametrize("window", [1, 3])
def test_ranks_deliver_every_row_once_and_one_rank_serves_the_streams_of_two(chunks, window):
    options = {"shuffle_window": window, "num_workers": 0, "batch_size": 8, "last_batch": "wrap"}
    ranks = [checked(loader_of(chunks, world=World(rank, 2), **options)) for rank in range(2)]
    assert sorted(number for batches in ranks for ids in batches for number in ids) == IDS.tolist()
    with loader_of(chunks, **{**options, "batch_size": 16}) as alone:
        alone.load_state_dict(loader_of(chunks, world=World(0, 2), **options).state_dict())
        assert checked(alone) == [one + other for one, other in zip(*ranks, strict=True)]


def test_without_a_padding_the_error_names_what_pads(chunks):
    with (
        pytest.raises(CollateError, match=r"'tokens' is ragged, with rows of 0 to 6 .* Use PaddingDataCollator"),
        loader_of(chunks, datacollator=NumpyDataCollator()) as loader,
    ):
        next(iter(loader))


class Rest(DataCollator):
    def collate_batch(self, columns):
        return columns


class Kept(DataReader):
    """Returns the same columns for each chunk."""

    def read_file(self, path):
        return COLUMNS


@pytest.mark.parametrize("shuffle", [False, True])
def test_batches_share_no_memory_with_what_a_reader_keeps(tmp_path, shuffle):
    for name in ("a", "b"):
        (tmp_path / f"{name}.kept").touch()
    with loader_of(tmp_path, datareader=Kept(), datacollator=Rest(), shuffle=shuffle, batch_size=100) as loader:
        for batch in loader:
            assert not np.shares_memory(batch["tokens"].values, COLUMNS["tokens"].values)


class Joined(Dataset):
    """The tokens of each row, its bytes before them."""

    def batch_encode(self, columns):
        both = [[*image, *tokens] for image, tokens in zip(columns["image"], columns["tokens"], strict=True)]
        return {"id": columns["id"], "both": Ragged.from_rows(both)}


def test_batch_encode_gets_and_gives_ragged_columns(chunks):
    with loader_of(chunks, dataset=Joined(), datacollator=Rest()) as loader:
        for batch in loader:
            assert isinstance(batch["both"], Ragged)
            ids = batch["id"].tolist()
            assert batch["both"].to_list() == [[n % 256] * (n % 40) + [n] * (n % 7) for n in ids]


class Short(Dataset):
    def batch_encode(self, columns):
        return {"tokens": columns["tokens"][1:]}


def test_batch_encode_must_give_as_many_ragged_rows_as_it_got(chunks):
    with (
        pytest.raises(BatchEncodeError, match="got 16 rows and returned 15"),
        loader_of(chunks, dataset=Short()) as loader,
    ):
        next(iter(loader))


class Refusing(Dataset):
    def batch_encode(self, columns):
        if 7 in columns["id"]:
            raise ValueError("no 7")
        return columns


def test_a_row_that_is_left_out_is_replaced_in_ragged_columns_too(chunks):
    with loader_of(chunks, dataset=Refusing(), max_skipped=1, shuffle=False) as loader:
        batch = next(iter(loader))
    assert batch["id"].tolist() == [0, 1, 2, 3, 4, 5, 6, 8, *range(8, 16)]
    assert batch["tokens"].tolist()[7] == [8, 0, 0, 0, 0, 0]


def test_null_cannot_be_filled_where_there_is_none(chunks):
    with loader_of(chunks, nulls="nan") as loader:
        assert len(checked(loader)) == NUM_ROWS // 16
    with (
        pytest.raises(ChunkReadError, match="row 1: 'tokens' is a row of several values, and nulls names its column"),
        loader_of(chunks, nulls={"tokens": 0}) as loader,
    ):
        next(iter(loader))


def test_peek_shows_lengths_and_samples(chunks, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    assert main(["peek", str(chunks), "--all"]) == 0
    screen = " ".join(capsys.readouterr().out.split())
    assert "image ragged bytes 0 0 / 19.5 / 39" in screen
    assert "tokens ragged uint16 0 0 / 3 / 6" in screen
    assert "tokens uint16 [0]:" in screen
