"""PyTorch's own DataLoader over our datasets: it asks for a whole batch at once, and gets it."""

from __future__ import annotations

import numpy as np
import pytest

from pyloader.indexed import ARDataset, InMemoryDataset, NamedStreams, NPDataset, RangeDataset, converter

pytestmark = pytest.mark.frameworks
torch = pytest.importorskip("torch")
torch_data = pytest.importorskip("torch.utils.data")

ROWS = np.arange(1200, dtype=np.float32).reshape(400, 3)


def array_file(place):
    np.save(place / "x.npy", ROWS)
    return NPDataset(place / "x.npy")


def record_file(place):
    pytest.importorskip("array_record")
    converter(ROWS, place / "records", blocksize=300)
    dataset = ARDataset(place / "records")
    dataset.take(np.arange(400))  # what is open here must not be used by a forked worker
    return dataset


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("make", [array_file, record_file, lambda place: array_file(place).shuffle(3).map(abs)])
def test_every_row_arrives_once_as_a_tensor(tmp_path, make, num_workers):
    with make(tmp_path) as dataset:
        loader = torch_data.DataLoader(dataset, batch_size=128, shuffle=True, num_workers=num_workers)
        batches = list(loader)
        del loader
    assert [tuple(batch.shape) for batch in batches] == [(128, 3)] * 3 + [(16, 3)]
    rows = torch.cat(batches).numpy()
    np.testing.assert_array_equal(rows[np.argsort(rows[:, 0])], ROWS)


def test_columns_arrive_as_a_dict_of_tensors():
    dataset = NamedStreams({"image": InMemoryDataset(ROWS), "label": RangeDataset(0, 400)})
    batch = next(iter(torch_data.DataLoader(dataset, batch_size=8)))
    np.testing.assert_array_equal(batch["image"].numpy(), ROWS[:8])
    assert batch["label"].tolist() == list(range(8))


def test_a_batch_is_one_take():
    asked = []

    class Counting(InMemoryDataset):
        def take(self, indices):
            asked.append(len(indices))
            return super().take(indices)

    list(torch_data.DataLoader(Counting(ROWS).shuffle(1), batch_size=100))
    assert asked == [100] * 4


@pytest.mark.parametrize("road", ["__getitem__", "__getitems__", "get"])
def test_what_a_subclass_overrides_counts_for_pytorchs_loader(tmp_path, road):
    np.save(tmp_path / "x.npy", np.arange(4, dtype=np.float32))

    def override(self, index):
        found = getattr(super(changed, self), road)(index)
        return [row * 100 for row in found] if road == "__getitems__" else found * 100

    changed = type("Changed", (NPDataset,), {road: override})
    (batch,) = torch_data.DataLoader(changed(tmp_path / "x.npy"), batch_size=4)
    assert batch.tolist() == [0, 100, 200, 300]
