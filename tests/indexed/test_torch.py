"""PyTorch's own DataLoader over our datasets: it asks for a whole batch at once, and gets it."""

from __future__ import annotations

import numpy as np
import pytest

from pyloader.indexed import ARDataset, DataLoader, InMemoryDataset, NamedStreams, NPDataset, RangeDataset, converter

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


class Images(torch_data.Dataset):  # type: ignore[name-defined]
    """As torchvision's datasets are: (image, label)."""

    def __len__(self):
        return 6

    def __getitem__(self, index):
        return torch.full((2, 2), float(index)), index % 3


@pytest.mark.parametrize("dataset", [Images(), torch_data.TensorDataset(torch.ones(6, 2, 2), torch.arange(6) % 3)])
def test_a_dataset_of_pytorch_gives_arrays_or_tensors_by_part(dataset):
    from pyloader.torch import TorchDataCollator

    with DataLoader(dataset, batch_size=4, shuffle=False) as loader:
        images, labels = next(loader)
    assert (images.dtype, images.shape, labels.dtype) == (np.float32, (4, 2, 2), np.int64)
    with DataLoader(dataset, batch_size=4, shuffle=False, datacollator=TorchDataCollator()) as loader:
        batch = next(loader)
    assert type(batch) is tuple
    assert [part.dtype for part in batch] == [torch.float32, torch.int64]
    for mine, theirs in zip(batch, next(iter(torch_data.DataLoader(dataset, batch_size=4))), strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda i: {"x": i, "in": {"y": [1.0, 2.0], "name": "a"}}, {"x": (3,), "in": {"y": (3, 2), "name": ["a"] * 3}}),
        (lambda i: np.zeros(2), {"data": (3, 2)}),
        (lambda i: torch.zeros(2), {"data": (3, 2)}),
    ],
)
def test_a_torch_collator_makes_tensors_of_usual_items(make, expected):
    from pyloader.torch import TorchDataCollator

    def shapes(batch):
        if isinstance(batch, dict):
            return {name: shapes(value) for name, value in batch.items()}
        return tuple(batch.shape) if isinstance(batch, torch.Tensor) else batch

    items = [make(index) for index in range(3)]
    with DataLoader(items, batch_size=3, datacollator=TorchDataCollator()) as loader:
        assert shapes(next(loader)) == expected
    if isinstance(items[0], dict):
        with DataLoader(items, batch_size=3, datacollator=TorchDataCollator(dtypes={"x": torch.bfloat16})) as loader:
            assert next(loader)["x"].dtype == torch.bfloat16


def test_rows_of_unequal_length_are_padded_into_tensors():
    from pyloader import PaddingDataCollator
    from pyloader.torch import TorchDataCollator

    items = [(torch.arange(index), index) for index in range(3)]
    options = {"batch_size": 3, "shuffle": False, "datacollator": TorchDataCollator(PaddingDataCollator(pad_value=-1))}
    with DataLoader(items, **options) as loader:
        ids, labels = next(loader)
    assert ids.tolist() == [[-1, -1], [0, -1], [0, 1]]
    assert labels.tolist() == [0, 1, 2]


def test_a_tensor_that_numpy_cannot_hold_says_so():
    from pyloader.errors import CollateError

    items = [torch.zeros(2, dtype=torch.bfloat16)] * 3
    with DataLoader(items, batch_size=3) as loader, pytest.raises(CollateError, match="'item' has a Tensor that is no"):
        next(loader)
    default_collate = torch_data.default_collate
    with DataLoader(items, batch_size=3, transform=default_collate) as loader:
        assert next(loader).dtype == torch.bfloat16
