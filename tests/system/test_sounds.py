"""Sounds come with the same samples whoever decodes them, and bad ones are an error or left out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from products import drawn
from ranks import rank_loaders, through_json

from pyloader import AudioDataset, ChunkWriter, DataLoader
from pyloader.errors import BadRowsError
from pyloader.read import NumpyReader
from pyloader.testing import LOADER_CHECKS

pytest.importorskip("soundfile")

from tones import encoded_tone

NUM_SOUNDS = 32
SOUNDS = AudioDataset(sample_rate=8000, seconds=0.02)
OPTIONS = {"batch_size": 4, "shuffle": True, "shuffle_window": 3, "seed": 7, "num_epochs": 2}


def write(directory: Path, bad: Iterable[int] = ()) -> Path:
    with ChunkWriter(directory, chunk_samples=8, format="columns") as writer:
        for number in range(NUM_SOUNDS):
            sound = encoded_tone(0.1, 8000, "FLAC", first=200 + 50 * number)
            writer.write({"audio": b"no sound" if number in bad else sound, "id": number})
    return directory


@pytest.fixture(scope="module")
def chunks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("sounds") / "chunks")


def loader_of(directory: Path, **options: Any) -> DataLoader:
    return DataLoader(dataset=SOUNDS, data_dir=directory, **{**OPTIONS, **options})


def samples_of(batches: Iterable[Any]) -> list[dict[int, bytes]]:
    """Return each batch as numbers of sounds and their samples."""
    return [{int(n): s.tobytes() for n, s in zip(batch["id"], batch["audio"], strict=True)} for batch in batches]


@pytest.fixture(scope="module")
def expected(chunks: Path) -> list[dict[int, bytes]]:
    with loader_of(chunks, num_workers=0) as loader:
        return samples_of(loader)


@pytest.mark.parametrize(
    "workers",
    [
        {"num_workers": 4, "num_readers": 2},
        pytest.param({"num_workers": 2, "worker_kind": "process"}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_any_workers_hear_the_same(chunks: Path, expected: list[dict[int, bytes]], workers: Any) -> None:
    if "worker_kind" in workers:
        pytest.importorskip("cloudpickle")
    with loader_of(chunks, **workers) as loader:
        assert samples_of(loader) == expected


def test_every_sound_comes_once_an_epoch_with_another_window_in_the_next(expected: list[dict[int, bytes]]) -> None:
    first, second = ({k: v for batch in half for k, v in batch.items()} for half in (expected[:8], expected[8:]))
    assert sorted(first) == sorted(second) == list(range(NUM_SOUNDS))
    assert sum(first[number] == second[number] for number in first) < 3


def test_any_number_of_ranks_hears_the_same(chunks: Path, expected: list[dict[int, bytes]]) -> None:
    options = {"dataset": SOUNDS, "num_workers": 0, "num_epochs": 1, "shuffle": True, "seed": 7}
    found = {}
    for num_ranks in (1, 2, 4):
        ranks = rank_loaders(
            chunks, num_ranks, reader=NumpyReader(), batch_size=8 // num_ranks, last_batch="pad", **options
        )
        found[num_ranks] = {k: v for loader in ranks for batch in samples_of(loader) for k, v in batch.items()}
    assert found[1] == found[2] == found[4] == {k: v for batch in expected[:8] for k, v in batch.items()}


def test_a_run_that_resumes_hears_the_same(chunks: Path, expected: list[dict[int, bytes]]) -> None:
    for step in range(0, len(expected), 3):
        with loader_of(chunks, num_workers=0) as loader:
            list(islice(loader, step))
            state = through_json(loader.state_dict())
        with loader_of(chunks, num_workers=1) as loader:
            loader.load_state_dict(state)
            assert samples_of(batch for _ in range(2) for batch in loader)[: len(expected) - step] == expected[step:]


@pytest.mark.slow
@pytest.mark.parametrize("check", drawn(LOADER_CHECKS, 1), ids=lambda check: check.__name__)
def test_a_loader_of_sounds_keeps_the_laws(chunks: Path, check: Callable[..., None]) -> None:
    pytest.importorskip("cloudpickle")
    check(partial(DataLoader, dataset=SOUNDS, data_dir=str(chunks), batch_size=4))


def test_bad_sounds_are_named_by_file_and_row_and_left_out_where_that_is_asked(tmp_path: Path) -> None:
    directory = write(tmp_path / "chunks", bad=(9, 20))
    with (
        pytest.raises(BadRowsError, match=r"\.columns, row \d: 'audio' is no sound: it begins with b'no sound'"),
        loader_of(directory, shuffle_window=1, num_workers=0) as loader,
    ):
        list(loader)
    options = {"max_skipped": 2, "quarantine": tmp_path / "bad.jsonl", "num_epochs": 1}
    with loader_of(directory, **options) as loader:
        found = {k for batch in samples_of(loader) for k in batch}
    assert found == set(range(NUM_SOUNDS)) - {9, 20}
    assert len([json.loads(line) for line in (tmp_path / "bad.jsonl").read_text().splitlines()]) == 2
