"""Datasets: read from files in their true formats, refused when damaged; windows of series."""

import gzip

import numpy as np
import pytest
from small_datasets import (
    cifar_archive,
    cifar_records,
    emnist_archive,
    idx_bytes,
    mnist_directory,
    series_csv,
)

jax = pytest.importorskip("jax")

from pyloader.errors import DatasetError  # noqa: E402
from pyloader.jax import (  # noqa: E402
    BatchTransform,
    CIFAR10Dataset,
    CIFAR100Dataset,
    DailyMinTemperaturesDataset,
    DataLoader,
    EMNISTDataset,
    FashionMNISTDataset,
    KMNISTDataset,
    MNISTDataset,
    SunspotsDataset,
)
from pyloader.jax.datasets import (  # noqa: E402
    FASHION_MNIST_URLS,
    KMNIST_URLS,
    MNIST_URLS,
    load_value_column,
    prepare_seq_to_seq_windows,
    prepare_time_series_windows,
    select_split,
    sliding_window_many,
)

pytestmark = pytest.mark.frameworks


def from_disk(source, size):
    """Return all samples of a disk source, in order."""
    with DataLoader([source, BatchTransform(size, last_batch="pad")]) as loader:
        batches = [(batch, mask) for batch, mask in loader.iterate(loader.init_state(0))]
    return {name: np.concatenate([batch[name][mask] for batch, mask in batches]) for name in batches[0][0]}


@pytest.mark.parametrize("cls", [MNISTDataset, FashionMNISTDataset, KMNISTDataset])
@pytest.mark.parametrize("packed", [True, False])
def test_mnist_and_its_relatives(tmp_path, cls, packed):
    images, labels = mnist_directory(tmp_path, packed=packed)["test"]
    dataset = cls(split="test", data_dir=tmp_path)
    arrays = dataset.as_array_dict()
    assert (len(dataset), arrays["image"].shape, arrays["label"].dtype) == (20, (20, 28, 28, 1), np.int32)
    np.testing.assert_array_equal(arrays["image"][..., 0], images)
    np.testing.assert_array_equal(arrays["label"], labels)
    np.testing.assert_array_equal(dataset[7]["image"][..., 0], images[7])
    source = cls.make_disk_source(split="test", data_dir=tmp_path, ordering="sequential", prefetch_size=8)
    np.testing.assert_equal(from_disk(source, 8), jax.device_get(arrays))


def test_the_names_under_which_cyreal_keeps_the_files_will_do(tmp_path):
    images, _ = mnist_directory(tmp_path)["test"]
    (tmp_path / "t10k-images-idx3-ubyte.gz").rename(tmp_path / "test_images.gz")
    (tmp_path / "t10k-labels-idx1-ubyte.gz").rename(tmp_path / "test_labels.gz")
    np.testing.assert_array_equal(MNISTDataset("test", data_dir=tmp_path).as_array_dict()["image"][..., 0], images)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>", "no IDX file of unsigned bytes"),
        (b"", "begins with nothing"),
        (idx_bytes(np.zeros((3, 28, 28), np.uint8))[:-1], "2,351 bytes of values, and its header says 3 x 28 x 28"),
        (idx_bytes(np.zeros((3, 28, 28), np.uint8))[:9], "ends inside its header"),
        (idx_bytes(np.zeros((3, 28), np.uint8)), "no images and their labels"),
    ],
)
def test_damaged_idx_files_are_refused(tmp_path, content, message):
    mnist_directory(tmp_path, packed=False)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(content)
    for open_it in (MNISTDataset, MNISTDataset.make_disk_source):
        with pytest.raises(DatasetError, match=message):
            open_it(data_dir=tmp_path)


def test_a_truncated_gzip_file_is_refused_and_leaves_nothing_half_unpacked(tmp_path):
    mnist_directory(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-100])
    for open_it in (MNISTDataset, MNISTDataset.make_disk_source):
        with pytest.raises(DatasetError, match=r"images-idx3-ubyte.gz: is damaged .*Fetch it again"):
            open_it(data_dir=tmp_path)
    assert not [file for file in tmp_path.iterdir() if file.suffix != ".gz"]


def test_missing_files_and_splits_are_named(tmp_path):
    with pytest.raises(DatasetError, match=r"has no file train-images-idx3-ubyte.*Looked for"):
        MNISTDataset(data_dir=tmp_path)
    with pytest.raises(ValueError, match='split must be "train" or "test", not \'val\''):
        MNISTDataset("val", data_dir=tmp_path)
    with pytest.raises(ValueError, match="subset must be one of balanced"):
        EMNISTDataset("letter", data_dir=tmp_path)


def test_emnist_from_its_archive_and_from_files(tmp_path):
    images, labels = emnist_archive(tmp_path / "gzip.zip", "letters")
    options = {"subset": "letters", "data_dir": tmp_path, "cache_dir": tmp_path / "cache"}
    np.testing.assert_array_equal(EMNISTDataset(**options).as_array_dict()["image"][..., 0], images)
    source = EMNISTDataset.make_disk_source(**options, ordering="sequential")
    np.testing.assert_array_equal(from_disk(source, 5)["label"], labels)
    assert EMNISTDataset("letters", data_dir=tmp_path / "cache")[3]["label"] == labels[3]
    with pytest.raises(DatasetError, match="has no file gzip/emnist-digits-train"):
        EMNISTDataset("digits", data_dir=tmp_path, cache_dir=tmp_path / "cache")
    (tmp_path / "gzip.zip").write_bytes(b"PK no more")
    with pytest.raises(DatasetError, match="is damaged"):
        EMNISTDataset("digits", data_dir=tmp_path, cache_dir=tmp_path / "cache")


@pytest.mark.parametrize("open_it", [EMNISTDataset, EMNISTDataset.make_disk_source])
def test_the_names_under_which_cyreal_keeps_emnist_will_do(tmp_path, open_it):
    options = {"subset": "letters", "data_dir": tmp_path, "cache_dir": tmp_path / "cache"}
    emnist_archive(tmp_path / "emnist_gzip.zip", "letters")
    num_samples = len(EMNISTDataset(**options))
    (tmp_path / "emnist_gzip.zip").unlink()
    for file in (tmp_path / "cache").iterdir():
        file.rename(tmp_path / ("train_images.gz" if "images" in file.name else "train_labels.gz"))
    found = open_it(**options)
    assert num_samples == (len(found) if open_it is EMNISTDataset else found.steps_per_epoch)


@pytest.mark.parametrize("from_archive", [True, False])
@pytest.mark.parametrize(
    ("cls", "archive", "folder", "names", "num_labels"),
    [
        (
            CIFAR10Dataset,
            "cifar-10-binary.tar.gz",
            "cifar-10-batches-bin",
            [f"data_batch_{n}.bin" for n in range(1, 6)],
            1,
        ),
        (CIFAR100Dataset, "cifar-100-binary.tar.gz", "cifar-100-binary", ["train.bin"], 2),
    ],
)
def test_cifar(tmp_path, cls, archive, folder, names, num_labels, from_archive):
    files = {name: cifar_records(4 + n, num_labels, n) for n, name in enumerate(names)}
    if from_archive:
        cifar_archive(tmp_path / archive, folder, files)
    else:
        (tmp_path / folder).mkdir()
        for name, records in files.items():
            (tmp_path / folder / name).write_bytes(records.tobytes())
    options = {"data_dir": tmp_path, "cache_dir": tmp_path / "cache"}
    records = np.concatenate(list(files.values()))
    arrays = cls(**options).as_array_dict()
    assert arrays["image"].shape == (len(records), 32, 32, 3)
    np.testing.assert_array_equal(arrays["label"], records[:, num_labels - 1])
    np.testing.assert_array_equal(arrays["image"][3, 5, 6], records[3, num_labels + 5 * 32 + 6 :: 1024][:3])
    assert ("coarse_label" in arrays) == (num_labels == 2)
    assert list(cls(**options)[2]["image"][0, 0]) == list(arrays["image"][2, 0, 0])
    source = cls.make_disk_source(**options, ordering="sequential", prefetch_size=6)
    np.testing.assert_equal(from_disk(source, 6), jax.device_get(arrays))
    assert not list(tmp_path.parent.glob("evil*"))


def test_pickled_and_damaged_cifar_is_refused(tmp_path):
    (tmp_path / "cifar-10-python.tar.gz").touch()
    with pytest.raises(DatasetError, match=r"nor cifar-10-binary.tar.gz.*would run code"):
        CIFAR10Dataset(data_dir=tmp_path)
    (tmp_path / "test_batch.bin").write_bytes(bytes(3074))
    with pytest.raises(DatasetError, match="3,074 bytes, not whole records of 3,073"):
        CIFAR10Dataset("test", data_dir=tmp_path)
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(gzip.compress(b"no tar"))
    with pytest.raises(DatasetError, match="is damaged"):
        CIFAR10Dataset(data_dir=tmp_path, cache_dir=tmp_path / "cache")


@pytest.mark.parametrize(("cls", "context"), [(SunspotsDataset, 24), (DailyMinTemperaturesDataset, 30)])
def test_series_as_contexts_and_targets(tmp_path, cls, context):
    values = np.arange(200, dtype=np.float32) / 2
    series_csv(tmp_path / "values.csv", values)
    arrays = cls(data_path=tmp_path / "values.csv").as_array_dict()
    assert arrays["context"].shape == (160 - context, context)
    np.testing.assert_array_equal(arrays["context"][5], values[5 : 5 + context])
    np.testing.assert_array_equal(arrays["target"][:, 0], values[context:160])
    test = cls("test", data_path=tmp_path / "values.csv")
    np.testing.assert_array_equal([test[0]["target"][0], len(test)], [values[160], 40])
    source = cls.make_disk_source(data_path=tmp_path / "values.csv", ordering="sequential")
    np.testing.assert_equal(from_disk(source, 32), jax.device_get(arrays))


def test_series_without_overlap(tmp_path):
    series_csv(tmp_path / "monthly-sunspots.csv", range(100))
    options = {"context_length": 6, "prediction_length": 2, "data_dir": tmp_path}
    arrays = SunspotsDataset(overlapping=False, **options).as_array_dict()
    np.testing.assert_array_equal(np.hstack([arrays["context"], arrays["target"]]).ravel(), np.arange(80))


def test_a_row_without_a_number_is_named_with_its_line(tmp_path):
    (tmp_path / "values.csv").write_text('"Date","Value"\n"1981-01-01",20.7\n"1981-01-02",?\n')
    with pytest.raises(DatasetError, match=r"values.csv:3: has no number in column 1"):
        load_value_column(tmp_path / "values.csv")


def test_splits_cover_the_series_and_later_ones_begin_with_a_context():
    series = np.arange(100)
    split = lambda name: select_split(series, name, 0.6, 5, 0.2).tolist()  # noqa: E731
    assert (split("train"), split("val"), split("test")) == (
        list(range(60)),
        list(range(55, 80)),
        list(range(75, 100)),
    )
    assert select_split(np.zeros((2, 100, 3)), "val", 0.6, 5, 0.2).shape == (2, 25, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "dev"}, 'must be "train"'),
        ({"train_fraction": 1.0}, "must leave something"),
        ({"split": "val"}, "val_fraction of more than 0"),
        ({"context_length": -1}, "context_length must be at least 0"),
        ({"array": np.zeros(0)}, "axis of time"),
        ({"array": np.zeros(1), "split": "test"}, "leaves none for split='test'"),
    ],
)
def test_splits_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        select_split(**{"array": np.zeros(10), "split": "train", "train_fraction": 0.8, "context_length": 2, **options})


def test_windows_of_series_with_and_without_features():
    series = np.arange(10)
    assert sliding_window_many(series, 4, stride=3, offset=1).tolist() == [[1, 2, 3, 4], [4, 5, 6, 7]]
    assert sliding_window_many(np.zeros((10, 2)), 4).shape == (7, 2, 4)
    assert sliding_window_many(np.zeros((3, 10, 2)), 4).shape == (3, 7, 2, 4)
    with pytest.raises(ValueError, match="10 values has no window of 11"):
        sliding_window_many(series, 11)
    contexts, targets = prepare_time_series_windows(series, "train", 4, 2, 0.8)
    assert contexts.tolist() == [[0, 1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 5]]
    assert targets.tolist() == [[4, 5], [5, 6], [6, 7]]


@pytest.mark.parametrize("shape", [(20,), (20, 3), (2, 20, 3)])
def test_windows_of_two_series_start_at_the_same_times(shape):
    time = np.arange(20) if len(shape) < 3 else np.arange(20)[None]
    series = np.broadcast_to(time.reshape(*time.shape, *[1] * (len(shape) - time.ndim)), shape)
    inputs, targets = prepare_seq_to_seq_windows(series, series, "train", 4, 6, 0.8, target_offset=1)
    pairs = 10 * (shape[0] if len(shape) == 3 else 1)
    features = shape[-1:] if len(shape) > 1 else ()
    assert (inputs.shape, targets.shape) == ((pairs, 4, *features), (pairs, 6, *features))
    first = inputs.reshape(pairs, 4, -1)[:, 0, 0]
    assert first[:10].tolist() == list(range(10))
    np.testing.assert_array_equal(targets.reshape(pairs, 6, -1)[:, 0, 0], first + 1)
    with pytest.raises(ValueError, match="both series need the same times"):
        prepare_seq_to_seq_windows(series, series[..., :-1] if len(shape) == 1 else series[..., 1:, :], "train", 4, 6)


def test_the_addresses_are_there_for_those_who_mirror_them():
    for urls in (MNIST_URLS, FASHION_MNIST_URLS, KMNIST_URLS):
        assert sorted(urls) == ["test_images", "test_labels", "train_images", "train_labels"]
        assert urls["test_labels"].endswith("t10k-labels-idx1-ubyte.gz")
