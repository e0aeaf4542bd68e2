"""MNIST and its relatives: images of single characters, 28 x 28."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np

from pyloader.compat.cyreal_datasets.download import RemoteFile, cache_place, downloaded, file_in
from pyloader.compat.cyreal_datasets.idx_files import mapped_idx, read_idx
from pyloader.errors import DatasetError
from pyloader.files.atomic import written_whole
from pyloader.jax.disk_source import DiskSource

__all__ = [
    "EMNIST_SUBSETS",
    "EMNIST_URL",
    "FASHION_MNIST_URLS",
    "KMNIST_URLS",
    "MNIST_URLS",
    "EMNISTDataset",
    "FashionMNISTDataset",
    "KMNISTDataset",
    "MNISTDataset",
]

_PARTS = {"train": "train", "test": "t10k"}


def _files(site: str, *digests: str) -> dict[str, RemoteFile]:
    names = [f"{part}-{what}-ubyte.gz" for part in ("train", "t10k") for what in ("images-idx3", "labels-idx1")]
    return {name: RemoteFile(site + name, digest) for name, digest in zip(names, digests, strict=True)}


_MNIST = _files(
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
)
# These two sites have no https; the checksum tells what was changed on the way.
_FASHION_MNIST = _files(
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
)
_KMNIST = _files(
    "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
    "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
    "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
    "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
    "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
)
_EMNIST = RemoteFile(
    "https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip",
    "fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e",
)


def _urls(files: dict[str, RemoteFile]) -> dict[str, str]:
    names = ("train_images", "train_labels", "test_images", "test_labels")
    return {name: file.url for name, file in zip(names, files.values(), strict=True)}


MNIST_URLS = _urls(_MNIST)
FASHION_MNIST_URLS = _urls(_FASHION_MNIST)
KMNIST_URLS = _urls(_KMNIST)
EMNIST_URL = _EMNIST.url
EMNIST_SUBSETS = ("balanced", "byclass", "bymerge", "digits", "letters", "mnist")


class _Images:
    """Images and labels in memory: {"image": uint8 [28, 28, 1], "label": int32} a sample."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self._images, self._labels = images[..., None], labels.astype(np.int32)

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"image": self._images[index], "label": self._labels[index]}

    def as_array_dict(self) -> dict[str, Any]:
        """Return all samples: {"image": uint8 [n, 28, 28, 1], "label": int32 [n]}, as JAX arrays."""
        return {"image": jnp.asarray(self._images), "label": jnp.asarray(self._labels)}


class MNISTDataset(_Images):
    """MNIST: handwritten digits, 60,000 and 10,000.

    Args:
      split: "train" or "test".
      cache_dir: Where downloads are kept; ~/.cache/pyloader/mnist unless given.
      data_dir: A directory that has the files already, as .gz or unpacked: nothing is downloaded.

    Raises:
      ValueError: another split.
      DatasetError: a file is missing, damaged, or cannot be downloaded.
    """

    _name: ClassVar[str] = "mnist"
    _remote: ClassVar[dict[str, RemoteFile]] = _MNIST

    def __init__(
        self, split: str = "train", cache_dir: str | Path | None = None, data_dir: str | Path | None = None
    ) -> None:
        images, labels = self._paths(split, cache_dir, data_dir)
        super().__init__(*_as_many(images, read_idx(images), labels, read_idx(labels)))

    @classmethod
    def make_disk_source(
        cls,
        *,
        split: str = "train",
        cache_dir: str | Path | None = None,
        data_dir: str | Path | None = None,
        ordering: str = "shuffle",
        prefetch_size: int = 64,
    ) -> DiskSource:
        """Return a source that reads the samples from the files, which it unpacks beside themselves once."""
        images, labels = cls._paths(split, cache_dir, data_dir)
        return _disk_source(images, labels, ordering, prefetch_size)

    @classmethod
    def _paths(cls, split: str, cache_dir: str | Path | None, data_dir: str | Path | None) -> tuple[Path, Path]:
        part = _part(split)
        images, labels = (f"{part}-{what}-ubyte.gz" for what in ("images-idx3", "labels-idx1"))
        if data_dir is not None:
            there = Path(data_dir)
            return tuple(  # type: ignore[return-value]
                file_in(there, [name.removesuffix(".gz"), name, f"{split}_{what}.gz"])
                for name, what in ((images, "images"), (labels, "labels"))
            )
        place = cache_place(cache_dir, cls._name)
        return downloaded(cls._remote[images], place), downloaded(cls._remote[labels], place)


class FashionMNISTDataset(MNISTDataset):
    """Fashion-MNIST: articles of clothing in the form of MNIST.  See MNISTDataset."""

    _name = "fashion_mnist"
    _remote = _FASHION_MNIST


class KMNISTDataset(MNISTDataset):
    """Kuzushiji-MNIST: cursive Japanese characters in the form of MNIST.  See MNISTDataset."""

    _name = "kmnist"
    _remote = _KMNIST


class EMNISTDataset(_Images):
    """EMNIST: handwritten letters and digits in the form of MNIST; images are transposed there, and stay so.

    Args:
      subset: "balanced", "byclass", "bymerge", "digits", "letters" or "mnist".  The labels of "letters" begin with 1.
      split: "train" or "test".
      cache_dir: Where the download (562 MB, one for all subsets) is kept; ~/.cache/pyloader/emnist unless given.
      data_dir: A directory that has gzip.zip, or the subset's files, as .gz or unpacked; cyreal's names will do.

    Raises:
      ValueError: another subset or split.
      DatasetError: a file is missing, damaged, or cannot be downloaded.
    """

    def __init__(
        self,
        subset: str = "balanced",
        split: str = "train",
        cache_dir: str | Path | None = None,
        data_dir: str | Path | None = None,
    ) -> None:
        images, labels = _emnist_paths(subset, split, cache_dir, data_dir)
        super().__init__(*_as_many(images, read_idx(images), labels, read_idx(labels)))

    @classmethod
    def make_disk_source(
        cls,
        *,
        subset: str = "balanced",
        split: str = "train",
        cache_dir: str | Path | None = None,
        data_dir: str | Path | None = None,
        ordering: str = "shuffle",
        prefetch_size: int = 64,
    ) -> DiskSource:
        """Return a source that reads the samples from the files, which it unpacks once."""
        images, labels = _emnist_paths(subset, split, cache_dir, data_dir)
        return _disk_source(images, labels, ordering, prefetch_size)


def _part(split: str) -> str:
    if split not in _PARTS:
        raise ValueError(f'split must be "train" or "test", not {split!r}')
    return _PARTS[split]


def _emnist_paths(
    subset: str, split: str, cache_dir: str | Path | None, data_dir: str | Path | None
) -> tuple[Path, Path]:
    _part(split)
    if subset not in EMNIST_SUBSETS:
        raise ValueError(f"subset must be one of {', '.join(EMNIST_SUBSETS)}, not {subset!r}")
    names = [f"emnist-{subset}-{split}-{what}-ubyte.gz" for what in ("images-idx3", "labels-idx1")]
    cache = cache_place(cache_dir, "emnist")
    if data_dir is None:
        archive = downloaded(_EMNIST, cache)
    else:
        place = Path(data_dir)
        archives = [place / name for name in (_EMNIST.name, "emnist_gzip.zip") if (place / name).is_file()]
        if not archives:
            images, labels = (
                file_in(place, [name.removesuffix(".gz"), name, f"{split}_{what}.gz"])
                for name, what in zip(names, ("images", "labels"), strict=True)
            )
            return images, labels
        archive = archives[0]
    images, labels = (_member(archive, f"gzip/{name}", cache / name) for name in names)
    return images, labels


def _member(archive: Path, member: str, path: Path) -> Path:
    """Return one file of a zip archive, copied to `path`; its own checksum is verified."""
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with zipfile.ZipFile(archive) as zipped, written_whole(path) as beside:
            beside.write_bytes(zipped.read(member))
    except KeyError as exc:
        raise DatasetError(str(archive), f"has no file {member}.") from exc
    except zipfile.BadZipFile as exc:
        raise DatasetError(str(archive), f"is damaged ({exc}).", "Fetch it again") from exc
    return path


def _as_many(
    images_path: Path, images: np.ndarray, labels_path: Path, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        raise DatasetError(
            str(images_path),
            f"has the shape {list(images.shape)}, and {labels_path.name} {list(labels.shape)}; these are no images "
            "and their labels.",
        )
    return images, labels


def _disk_source(images_path: Path, labels_path: Path, ordering: str, prefetch_size: int) -> DiskSource:
    images, labels = _as_many(images_path, mapped_idx(images_path), labels_path, mapped_idx(labels_path))

    def read(indices: np.ndarray) -> dict[str, np.ndarray]:
        return {"image": images[indices][..., None], "label": labels[indices].astype(np.int32)}

    return DiskSource(len(labels), rows_fn=read, ordering=ordering, prefetch_size=prefetch_size)
