"""Small datasets in the true formats of the large ones: IDX, CIFAR's binary records, CSV."""

import gzip
import io
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np

__all__ = ["cifar_archive", "cifar_records", "emnist_archive", "idx_bytes", "mnist_directory", "series_csv"]


def idx_bytes(values):
    """Return uint8 values as an IDX file."""
    return struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.tobytes()


def mnist_like(num_samples, seed=0):
    """Return (images, labels) like MNIST's, but few."""
    rng = np.random.Generator(np.random.PCG64(seed))
    return rng.integers(256, size=(num_samples, 28, 28), dtype=np.uint8), np.arange(num_samples, dtype=np.uint8) % 10


def mnist_directory(place, num_train=300, num_test=20, *, packed=True):
    """Write the four files of MNIST, and return {split: (images, labels)}."""
    Path(place).mkdir(parents=True, exist_ok=True)
    written = {}
    for split, part, count in (("train", "train", num_train), ("test", "t10k", num_test)):
        written[split] = images, labels = mnist_like(count, seed=count)
        for name, values in (("images-idx3", images), ("labels-idx1", labels)):
            content = idx_bytes(values)
            path = Path(place, f"{part}-{name}-ubyte{'.gz' if packed else ''}")
            path.write_bytes(gzip.compress(content) if packed else content)
    return written


def emnist_archive(path, subset, num_samples=12):
    """Write gzip.zip with one subset's training files, and return (images, labels)."""
    images, labels = mnist_like(num_samples)
    with zipfile.ZipFile(path, "w") as archive:
        for name, values in (("images-idx3", images), ("labels-idx1", labels)):
            archive.writestr(f"gzip/emnist-{subset}-train-{name}-ubyte.gz", gzip.compress(idx_bytes(values)))
    return images, labels


def cifar_records(num_samples, num_labels, seed):
    """Return records of labels, then red, green and blue planes."""
    rng = np.random.Generator(np.random.PCG64(seed))
    return rng.integers(10, size=(num_samples, num_labels + 3072), dtype=np.uint8)


def cifar_archive(path, folder, files):
    """Write a .tar.gz of {name: records}, with a pickle and a file outside its folder beside them."""
    with tarfile.open(path, "w:gz") as archive:
        members = {f"{folder}/{name}": records.tobytes() for name, records in files.items()}
        for name, content in {"../evil.txt": b"evil", **members}.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def series_csv(path, values):
    """Write values by date."""
    lines = [f'"1981-{n:05d}",{value}\n' for n, value in enumerate(values)]
    Path(path).write_text('"Date","Value"\n' + "".join(lines))
