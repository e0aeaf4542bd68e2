"""The original pyloader's four-step quick use, its import lines unchanged, on real and on made-up JSON lines."""

# isort: off
from pyloader import DataReader
from pyloader import Dataset
from pyloader import DataCollator
from pyloader import DataLoader
# isort: on

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

GSM8K = Path(__file__).resolve().parent / "data" / "gsm8k_train.jsonl"
NUM_CHUNKS = 32
NUM_EPOCHS = 5


class TheDataReader(DataReader):
    def __init__(self, batch_size=4, shuffle=False, random_seed=42):
        super().__init__(batch_size, shuffle=shuffle, random_seed=random_seed)

    def read_file(self, path):
        with open(path, encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        return {"question": [row["question"] for row in rows], "answer": [row["answer"] for row in rows]}, len(rows)


class TheDataset(Dataset):
    def batch_encode(self, batch_data: dict[str, list]) -> dict[str, list]:
        return {name: [_ids(text) for text in texts] for name, texts in batch_data.items()}


class TheDataCollator(DataCollator):
    def collate_batch(self, batch_data: dict[str, list]) -> dict[str, Any]:
        return {name: np.array(ids) for name, ids in batch_data.items()}


class TorchDataCollator(DataCollator):
    def collate_batch(self, batch_data: dict[str, list]) -> dict[str, Any]:
        import torch

        return {name: torch.tensor(ids) for name, ids in batch_data.items()}


def _ids(text):
    return list(text.encode()[:48].ljust(48, b"\0"))


@pytest.fixture(params=["made up", "gsm8k"])
def rows(request):
    if request.param == "made up":
        return [{"question": f"What is {n} + {n}?", "answer": f"It is {2 * n}."} for n in range(500)]
    return [json.loads(line) for line in GSM8K.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def data_dir(rows, tmp_path):
    for index in range(NUM_CHUNKS):
        lines = [json.dumps(row) + "\n" for row in rows[index::NUM_CHUNKS]]
        (tmp_path / f"chunk-{index:02}.jsonl").write_text("".join(lines), encoding="utf-8")
    return tmp_path


def _received(data_dir, datacollator):
    datareader = TheDataReader(batch_size=16, shuffle=True)
    dataset = TheDataset()

    train_loader = DataLoader(
        datareader, dataset, datacollator, data_dir,
        num_epoch=5, max_queue_size=10, shuffle=True
    )  # fmt: skip

    received = []
    for batch_step, inputs in enumerate(train_loader):
        for k, v in inputs.items():
            assert len(v) <= 16, (batch_step, k)
        received.append(np.concatenate([np.asarray(inputs["question"]), np.asarray(inputs["answer"])], axis=1))
    return received


def test_the_quick_use_delivers_every_sample_once_an_epoch(data_dir, rows):
    received = _received(data_dir, TheDataCollator())

    steps = -(-len(rows) // 16)
    assert len(received) == NUM_EPOCHS * steps
    expected = sorted(_ids(row["question"]) + _ids(row["answer"]) for row in rows)
    for epoch in range(NUM_EPOCHS):
        delivered = np.concatenate(received[epoch * steps : (epoch + 1) * steps])
        assert sorted(delivered.tolist()) == expected, f"epoch {epoch}"


def test_each_epoch_of_the_quick_use_has_another_order(data_dir):
    received = _received(data_dir, TheDataCollator())

    steps = len(received) // NUM_EPOCHS
    first_batches = {received[epoch * steps].tobytes() for epoch in range(NUM_EPOCHS)}
    assert len(first_batches) == NUM_EPOCHS


@pytest.mark.frameworks
def test_a_torch_collator_gives_the_same_batches_as_tensors(data_dir):
    torch = pytest.importorskip("torch")

    loader = DataLoader(TheDataReader(), TheDataset(), TorchDataCollator(), data_dir)
    assert isinstance(next(loader)["question"], torch.Tensor)
    loader.close()
    for arrays, tensors in zip(
        _received(data_dir, TheDataCollator()), _received(data_dir, TorchDataCollator()), strict=True
    ):
        np.testing.assert_array_equal(arrays, tensors)
