"""Images come with the same pixels whoever decodes them, and bad ones are an error or left out."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest
from pictures import noise_jpegs, write_shard
from ranks import through_json

import pyloader
import pyloader.indexed
from pyloader import DataLoader, Dataset, ImageDataset, WebDatasetReader, World
from pyloader.cli.main import main
from pyloader.errors import BadRowsError, BatchEncodeError

NUM_IMAGES, BATCH_SIZE = 36, 4
READER = WebDatasetReader(decode={"cls": "int"})
IMAGES = ImageDataset("jpg", 16)
OPTIONS = {"batch_size": BATCH_SIZE, "shuffle": True, "shuffle_window": 3, "seed": 7, "num_epochs": 2}


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("shards")
    images = noise_jpegs(NUM_IMAGES)
    for number in range(4):
        write_shard(directory / f"{number}.tar", images[9 * number : 9 * number + 9], first=9 * number)
    main(["index", str(directory)])  # ranks need to know how many there are
    return directory


def loader_of(directory: Path, dataset: Dataset = IMAGES, **options) -> DataLoader:
    return DataLoader(READER, dataset, data_dir=directory, **{**OPTIONS, **options})


def in_order(directory: Path, dataset: Dataset = IMAGES, **options) -> DataLoader:
    return DataLoader(READER, dataset, data_dir=directory, **{"batch_size": 4, "num_workers": 0, **options})


def pixels_of(batches) -> list[dict[int, bytes]]:
    """Return each batch as numbers of images and their pixels."""
    return [{int(n): it.tobytes() for n, it in zip(batch["cls"], batch["jpg"], strict=True)} for batch in batches]


@pytest.fixture(scope="module")
def expected(shards) -> list[dict[int, bytes]]:
    with loader_of(shards, num_workers=0) as loader:
        return pixels_of(loader)


@pytest.mark.parametrize(
    "workers",
    [
        {"num_workers": 1},
        {"num_workers": 4, "num_readers": 2},
        pytest.param({"num_workers": 2, "worker_kind": "process"}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_any_workers_show_the_same_pixels(shards, expected, workers):
    if "worker_kind" in workers:
        pytest.importorskip("cloudpickle")
    with loader_of(shards, **workers) as loader:
        assert pixels_of(loader) == expected


def test_every_image_comes_once_an_epoch_and_looks_otherwise_in_the_next(expected):
    first, second = ({k: v for batch in half for k, v in batch.items()} for half in (expected[:9], expected[9:]))
    assert sorted(first) == sorted(second) == list(range(NUM_IMAGES))
    assert not any(first[number] == second[number] for number in first)


@pytest.mark.parametrize("size", [2, 4])
def test_any_number_of_ranks_shows_the_same_pixels(shards, size):
    options = {"num_workers": 0, "num_epochs": 1, "last_batch": "pad", "max_queue_size": 100}
    found = []
    for num_ranks in (1, size):
        of_world = {}
        for rank in range(num_ranks):
            world = World(rank, num_ranks, num_streams=4)
            with loader_of(shards, world=world, **options) as loader:
                for batch in loader:
                    for number, pixels in zip(batch["cls"][batch["mask"]], batch["jpg"][batch["mask"]], strict=True):
                        of_world[int(number)] = pixels.tobytes()
        found.append(of_world)
    assert found[0] == found[1]
    assert sorted(found[0]) == list(range(NUM_IMAGES))


@pytest.mark.slow
def test_a_run_goes_on_with_the_same_pixels_after_any_step(shards, expected):
    with loader_of(shards, num_workers=0) as loader:
        states = [through_json(loader.state_dict())]
        for _ in loader:
            states.append(through_json(loader.state_dict()))
    for step, state in enumerate(states):
        with loader_of(shards, num_workers=0) as loader:
            loader.load_state_dict(state)
            assert pixels_of(islice(loader, 3)) == expected[step : step + 3]


@pytest.fixture
def damaged(tmp_path) -> Path:
    images = noise_jpegs(20)
    images[3], images[4], images[14] = images[3][:-50], b"<html>", b""
    write_shard(tmp_path / "a.tar", images[:10])
    write_shard(tmp_path / "b.tar", images[10:], first=10)
    return tmp_path


class TestBadImages:
    @pytest.mark.parametrize("num_workers", [0, 2])
    def test_without_max_skipped_one_is_an_error_that_names_file_and_row(self, damaged, num_workers):
        loader = in_order(damaged, batch_size=5, num_workers=num_workers)
        with loader, pytest.raises(BadRowsError) as caught:
            next(loader)
        found = str(caught.value)
        assert str(pickle.loads(pickle.dumps(caught.value))) == found
        assert found.startswith(f"{damaged / 'a.tar'}, row 3: 'jpg' cannot be decoded (")
        assert found.endswith(
            "; 1 more of the batch cannot be encoded (epoch 0, step 0). "
            "max_skipped=N leaves out up to N of them, and quarantine=FILE lists those"
        )

    @pytest.mark.parametrize(
        "workers",
        [
            {"num_workers": 0},
            {"num_workers": 3},
            pytest.param({"num_workers": 1, "worker_kind": "process"}, marks=pytest.mark.slow),
        ],
        ids=str,
    )
    def test_with_it_others_stand_in_and_they_are_counted_and_written_down(self, damaged, workers):
        if "worker_kind" in workers:
            pytest.importorskip("cloudpickle")
        listed = damaged / "bad.jsonl"
        options = {"batch_size": 5, "last_batch": "pad"}
        with in_order(damaged, max_skipped=3, quarantine=listed, **options, **workers) as loader:
            batches, stats = list(loader), loader.stats()
        assert [batch["cls"].tolist() for batch in batches[:1]] == [[0, 1, 2, 0, 0]]
        assert [batch["mask"].tolist() for batch in batches[:1]] == [[True, True, True, False, False]]
        assert (stats.stand_ins, len(stats.skipped)) == (3, 3)
        lines = [json.loads(line) for line in listed.read_text().splitlines()]
        assert [(Path(line["file"]).name, line["row"], line["stage"]) for line in lines] == [
            ("a.tar", 3, "encode"),
            ("a.tar", 4, "encode"),
            ("b.tar", 4, "encode"),
        ]
        assert "BatchEncodeError: 'jpg' begins with b'<htm', which is no JPEG" in lines[1]["error"]

    def test_a_batch_with_bad_rows_is_encoded_twice_and_no_row_alone(self, damaged):
        calls = []

        class Counting(ImageDataset):
            def batch_encode(self, columns, keys=None):
                calls.append(len(columns["cls"]))
                return super().batch_encode(columns, keys)

        with in_order(damaged, Counting("jpg", 8), max_skipped=3) as loader:
            list(loader)
        assert calls == [4, 4, 4, 4, 4, 4, 4, 4]  # three of the five batches have bad rows


class Positive(Dataset):
    """A dataset of the user's, which says which rows are bad."""

    def __init__(self, on_call: Callable[[int], None] = lambda _: None, told: dict[int, str] | None = None) -> None:
        self.on_call, self.told = on_call, told

    def batch_encode(self, columns):
        numbers = columns["cls"]
        self.on_call(len(numbers))
        if bad := {row: f"{number} is odd" for row, number in enumerate(numbers.tolist()) if number in (1, 3)}:
            raise BadRowsError(bad if self.told is None else self.told)
        return {"cls": numbers}


class TestAnyDataset:
    def test_may_say_which_rows_are_bad(self, shards):
        calls: list[int] = []
        with in_order(shards, Positive(calls.append), max_skipped=2) as loader:
            assert next(loader)["cls"].tolist() == [0, 2, 2, 0]
            assert list(loader.stats().skipped.values()) == [f"BatchEncodeError: {n} is odd" for n in (1, 3)]
        assert calls == [4, 4]

    def test_without_keys_the_row_of_the_batch_is_named(self, shards):
        with in_order(shards, Positive()) as loader:
            message = r"^row 1 of the batch: 1 is odd; 1 more .* \(epoch 0, step 0\)\. max_"
            with pytest.raises(BadRowsError, match=message):
                next(loader)

    def test_rows_that_are_not_there_are_not_believed(self, shards):
        with in_order(shards, Positive(told={99: "is far away"}), max_skipped=2) as loader:
            assert next(loader)["cls"].tolist() == [0, 2, 2, 0]

    def test_of_rows_that_are_not_there_no_file_is_named(self, shards):
        class Keyed(Positive):
            def batch_encode(self, columns, keys):
                return super().batch_encode(columns)

        loader = in_order(shards, Keyed(told={99: "is far away"}))
        with loader, pytest.raises(BadRowsError, match=r"^row 99 of the batch: is far away \(epoch 0, step 0\)\."):
            next(loader)

    def test_one_too_many_is_an_error_that_names_its_place(self, shards):
        with in_order(shards, Positive(), max_skipped=1) as loader:
            with pytest.raises(BatchEncodeError, match=r"0\.tar, row 3: .*3 is odd") as caught:
                next(loader)
            assert "row number 2 to be left out" in caught.value.__notes__[0]


def test_a_loader_of_random_access_decodes_them_too(shards):
    columns, _ = READER.read_file(str(shards / "0.tar"))
    options = {"batch_size": 4, "shuffle": True, "transform": IMAGES.batch_encode, "num_epochs": 2}
    found = []
    for workers in (0, 2):
        with pyloader.indexed.DataLoader(columns, num_workers=workers, **options) as loader:
            found.append(pixels_of(loader))
    assert found[0] == found[1]
    assert sorted(number for batch in found[0][:3] for number in batch) == list(range(9))


def test_a_split_leaves_out_the_rows_that_a_dataset_names(tmp_path):
    class Known(Dataset):
        def batch_encode(self, columns):
            if bad := {row: f"{word!r} is unknown" for row, word in enumerate(columns["word"]) if word == "?"}:
                raise BadRowsError(bad)
            return {"length": [len(word) for word in columns["word"]]}

    words = ["to", "be", "?", "not"]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"word": word}) + "\n" for word in words))
    options = {"encode": Known(), "progress": False}
    with pytest.raises(BatchEncodeError, match=r"^'\?' is unknown") as caught:
        pyloader.split(tmp_path / "in.jsonl", tmp_path / "refused", **options)
    assert "in.jsonl:3; to leave it out:" in caught.value.__notes__[0]
    pyloader.split(tmp_path / "in.jsonl", tmp_path / "chunks", max_skipped=1, **options)
    with DataLoader(data_dir=tmp_path / "chunks", batch_size=10) as loader:
        assert next(loader)["length"].tolist() == [2, 2, 3]
