"""Datasets: small well-known ones, to try things on.

Each can be had whole (`as_array_dict()`, for ArraySource) or from its files (`make_disk_source()`).  It is downloaded
once, to ~/.cache/pyloader, unless `data_dir=` says where its files are.
"""

from pyloader.compat.cyreal_datasets.cifar import CIFAR10Dataset, CIFAR100Dataset
from pyloader.compat.cyreal_datasets.mnist import (
    EMNIST_SUBSETS,
    EMNIST_URL,
    FASHION_MNIST_URLS,
    KMNIST_URLS,
    MNIST_URLS,
    EMNISTDataset,
    FashionMNISTDataset,
    KMNISTDataset,
    MNISTDataset,
)
from pyloader.compat.cyreal_datasets.series import DailyMinTemperaturesDataset, SunspotsDataset, load_value_column
from pyloader.compat.cyreal_datasets.windows import (
    make_sequence_disk_source,
    prepare_seq_to_seq_windows,
    prepare_time_series_windows,
    select_split,
    sliding_window_many,
)

__all__ = [
    "EMNIST_SUBSETS",
    "EMNIST_URL",
    "FASHION_MNIST_URLS",
    "KMNIST_URLS",
    "MNIST_URLS",
    "CIFAR10Dataset",
    "CIFAR100Dataset",
    "DailyMinTemperaturesDataset",
    "EMNISTDataset",
    "FashionMNISTDataset",
    "KMNISTDataset",
    "MNISTDataset",
    "SunspotsDataset",
    "load_value_column",
    "make_sequence_disk_source",
    "prepare_seq_to_seq_windows",
    "prepare_time_series_windows",
    "select_split",
    "sliding_window_many",
]
