"""The READMEs of loaderx and loadax, block by block: only import lines differ.  Outputs are the right ones."""

import contextlib
import io
import textwrap

import numpy as np
import pytest

pytest.importorskip("array_record")


def run(block, **names):
    """Run a block as it would be pasted, and return what it printed."""
    names |= {"np": np}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(textwrap.dedent(block), "README", "exec"), names)
    if "loader" in names:
        names["loader"].close()
    return printed.getvalue(), names


# loaderx 0.1.3


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_loaderx_013_writing_and_reading_array_record(place):
    """The block forgets writer.close(), without which the file is not finished; that line is added."""
    np.save("train_data.npy", np.arange(24, dtype=np.float32).reshape(4, 3, 2))
    _, names = run(
        """
        import numpy as np
        from array_record.python.array_record_module import ArrayRecordWriter
        from array_record.python.array_record_data_source import ArrayRecordDataSource

        train_data = np.load('train_data.npy',mmap_mode='r')
        dtype = train_data.dtype
        shape =  train_data[0].shape

        writer = ArrayRecordWriter("train_data.ar", options="group_size:1,zstd")

        for i in range(train_data.shape[0]):
            writer.write(train_data[i].tobytes())
        writer.close()

        ds = ArrayRecordDataSource("train_data.ar")

        first = np.frombuffer(ds[0], dtype=dtype).reshape(shape)
        ds.__exit__(None, None, None)
        """
    )
    np.testing.assert_array_equal(names["first"], names["train_data"][0])

    from pyloader.indexed import ARDataset

    with ARDataset("train_data.ar", dtype=np.float32, shape=(3, 2)) as dataset:
        np.testing.assert_array_equal(dataset[[3, 0]], names["train_data"][[3, 0]])


@pytest.mark.slow
def test_loaderx_013_quick_start(place):
    from array_record.python.array_record_module import ArrayRecordWriter

    (place / "xsub").mkdir()
    data = np.random.default_rng(0).random((40, 3, 300, 25, 2), np.float32)
    writer = ArrayRecordWriter("xsub/train_data.ar", "group_size:1,zstd")
    for row in data:
        writer.write(row.tobytes())
    writer.close()
    np.save("xsub/train_label.npy", np.arange(40))
    _, names = run(
        """
        import numpy as np
        from pyloader.indexed import NPDataset, ARDataset, DataLoader

        dataset = ARDataset('xsub/train_data.ar', dtype=np.float32, shape=(3, 300, 25, 2))
        labelset = NPDataset('xsub/train_label.npy')

        loader = DataLoader(dataset, labelset)

        for i, batch in enumerate(loader):
            if i >= 2:
                break
        """
    )
    batch = names["batch"]
    assert names["i"] == 2
    assert batch["data"].shape == (256, 3, 300, 25, 2)
    np.testing.assert_array_equal(batch["data"], data[batch["label"]])
    names["dataset"].close()


# loaderx 0.0.5: the shape of its loop, JAX's calls apart


def test_loaderx_005_train_and_valid():
    printed, names = run(
        """
        from pyloader.indexed import DataLoader

        data, label = np.arange(1200).reshape(600, 2), np.arange(600)
        dataset = {'data': data, 'label': label}
        seen, validated = [], []
        transform = None

        train_loader = DataLoader(dataset = dataset,batch_size=256,num_epochs=10,transform=transform)
        for step, batch in enumerate(train_loader):
            seen.append(batch['label'])
            if step > 0 and step % 20 == 0:
                val_loader = DataLoader(dataset = dataset,batch_size=256,num_epochs=1,transform=transform)
                for val_batch in val_loader:
                    validated.append(val_batch['label'])
                print("Step:{}".format(step))
        """
    )
    assert printed == "Step:20\n"
    assert names["step"] == 29
    assert len(names["train_loader"]) == 30
    for epoch in np.split(np.concatenate(names["seen"]), 10):
        np.testing.assert_array_equal(np.sort(epoch), np.arange(600))
    np.testing.assert_array_equal(np.sort(np.concatenate(names["validated"])), np.arange(600))


# loadax, first README

PAIRS = "[1, 2]\n[3, 4]\n[5, 6]\n[7, 8]\n[9, 10]\n"


def test_loadax_data_loading():
    printed, names = run(
        """
        from pyloader.indexed import DataLoaderBuilder as DataLoader, InMemoryDataset, Batcher

        dataset = InMemoryDataset([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
        batcher = Batcher(lambda x: x)
        loader = DataLoader(batcher).batch_size(2).build(dataset)

        for batch in loader:
            print(batch)
        """
    )
    assert printed == PAIRS
    printed, names = run(
        """
        dataloader = DataLoader(batcher).batch_size(2).build(dataset)

        fast_iterator = iter(dataloader)
        slow_iterator = iter(dataloader)

        val = next(fast_iterator)
        print(val)

        val = next(slow_iterator)
        print(val)
        """,
        **names,
    )
    assert printed == "[1, 2]\n[1, 2]\n"  # the README says 1: batches have two items
    names["dataloader"].close()


def test_loadax_data_prefetching():
    printed, _ = run(
        """
        from pyloader.indexed import DataLoaderBuilder as DataLoader, InMemoryDataset, Batcher

        dataset = InMemoryDataset([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
        batcher = Batcher(lambda x: x)
        loader = DataLoader(batcher).batch_size(2).prefetch(3).build(dataset)

        for batch in loader:
            print(batch)
        """
    )
    assert printed == PAIRS


def test_loadax_multiple_workers():
    printed, _ = run(
        """
        import time
        from pyloader.indexed import DataLoaderBuilder as DataLoader, RangeDataset, MappedDataset, Batcher

        def slow_fn(x):
            time.sleep(0.001)
            return x * 2

        dataset = MappedDataset(RangeDataset(0, 10), slow_fn)
        batcher = Batcher(lambda x: x)
        loader = DataLoader(batcher).batch_size(2).workers(2).build(dataset)

        for batch in loader:
            print(batch)
        """
    )
    assert printed == "[0, 2]\n[4, 6]\n[8, 10]\n[12, 14]\n[16, 18]\n"


def test_loadax_type_hinting():
    printed, _ = run(
        """
        from pyloader.indexed import DataLoaderBuilder as DataLoader, RangeDataset, Batcher

        dataset = RangeDataset(0, 10)

        def my_fn(x: list[int]) -> int:
            return sum(x)

        batcher = Batcher(my_fn)
        loader = DataLoader(batcher).batch_size(2).build(dataset)

        for batch in loader:
            print(batch)
        """
    )
    assert (
        printed == "1\n5\n9\n13\n17\n"
    )  # the README shows pairs from 1 on: the batcher sums, and the range begins at 0


def test_loadax_datasets():
    _, names = run(
        """
        import time
        from pyloader.indexed import MappedDataset, RangeDataset, ShuffledDataset, InMemoryDataset

        dataset = InMemoryDataset([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
        dataset = RangeDataset(0, 10)

        def slow_fn(x):
            time.sleep(0.001)
            return x * 2

        base_dataset = ShuffledDataset(RangeDataset(0, 10))
        dataset = MappedDataset(base_dataset, slow_fn)
        """
    )
    items = list(names["dataset"])
    assert sorted(items) == list(range(0, 20, 2))
    assert items == list(names["dataset"]) != sorted(items)
