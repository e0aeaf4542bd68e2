"""MNIST and its relatives: images of single characters, 28 x 28, in IDX files, packed as .gz or plain."""

from __future__ import annotations

import gzip
import math
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from pyloader.compat.cyreal_datasets.download import Place, RemoteFile, cache_place, downloaded, file_in, member_of
from pyloader.compat.cyreal_datasets.small import Rows, SmallDataset
from pyloader.errors import DatasetError
from pyloader.files.atomic import written_whole
from pyloader.options import checked_word

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

_UNSIGNED_BYTES = 8  # the third byte of the magic number of an IDX file: what the values are
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


class _Images(SmallDataset):
    """Images and labels of IDX files."""

    _paths: ClassVar[Callable[..., tuple[Path, Path]]]  # by the options of the class: images, labels

    @classmethod
    def _reading(cls, **options: Any) -> tuple[int, Callable[[np.ndarray], Rows]]:
        images, labels = _pair(_mapped_idx, cls._paths(**options))
        return len(labels), lambda indices: _rows(images[indices], labels[indices])


class MNISTDataset(_Images):
    """MNIST: handwritten digits, 60,000 and 10,000: {"image": uint8 [28, 28, 1], "label": int32} a sample.

    `make_disk_source` unpacks the files beside themselves once, and maps them.

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

    def __init__(self, split: str = "train", cache_dir: Place = None, data_dir: Place = None) -> None:
        super().__init__(_rows(*_pair(_read_idx, self._paths(split, cache_dir, data_dir))))

    @classmethod
    def _paths(cls, split: str = "train", cache_dir: Place = None, data_dir: Place = None) -> tuple[Path, Path]:
        images, labels = _names(_part(split))
        if data_dir is not None:
            return _there(Path(data_dir), images, labels, split)
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

    Samples, and `make_disk_source`, are as those of MNISTDataset.

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
        self, subset: str = "balanced", split: str = "train", cache_dir: Place = None, data_dir: Place = None
    ) -> None:
        super().__init__(_rows(*_pair(_read_idx, self._paths(subset, split, cache_dir, data_dir))))

    @classmethod
    def _paths(
        cls, subset: str = "balanced", split: str = "train", cache_dir: Place = None, data_dir: Place = None
    ) -> tuple[Path, Path]:
        _part(split)
        if subset not in EMNIST_SUBSETS:
            raise ValueError(f"subset must be one of {', '.join(EMNIST_SUBSETS)}, not {subset!r}")
        images, labels = _names(f"emnist-{subset}-{split}")
        cache = cache_place(cache_dir, "emnist")
        if data_dir is None:
            archive = downloaded(_EMNIST, cache)
        else:
            place = Path(data_dir)
            archives = [place / name for name in (_EMNIST.name, "emnist_gzip.zip") if (place / name).is_file()]
            if not archives:
                return _there(place, images, labels, split)
            archive = archives[0]
        return (
            member_of(archive, f"gzip/{images}", cache / images),
            member_of(archive, f"gzip/{labels}", cache / labels),
        )


def _part(split: str) -> str:
    return _PARTS[checked_word("split", split, *_PARTS)]


def _names(part: str) -> tuple[str, str]:
    return f"{part}-images-idx3-ubyte.gz", f"{part}-labels-idx1-ubyte.gz"


def _there(place: Path, images: str, labels: str, split: str) -> tuple[Path, Path]:
    """Return the two files in a directory of the user's: packed or not, or under cyreal's names."""
    return (
        file_in(place, [images.removesuffix(".gz"), images, f"{split}_images.gz"]),
        file_in(place, [labels.removesuffix(".gz"), labels, f"{split}_labels.gz"]),
    )


def _pair(read: Callable[[Path], np.ndarray], paths: tuple[Path, Path]) -> tuple[np.ndarray, np.ndarray]:
    """Return images and labels, which are as many."""
    images, labels = map(read, paths)
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        raise DatasetError(
            str(paths[0]),
            f"has the shape {list(images.shape)}, and {paths[1].name} {list(labels.shape)}; these are no images "
            "and their labels.",
        )
    return images, labels


def _rows(images: np.ndarray, labels: np.ndarray) -> Rows:
    return {"image": images[..., None], "label": labels.astype(np.int32)}


def _read_idx(path: Path) -> np.ndarray:
    """Return the values of an IDX file, as many axes as it says: a uint8 array.

    Raises:
      DatasetError: it is no IDX file of unsigned bytes, or damaged.
    """
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            shape = _shape(path, file.read(4), file)
            values = np.frombuffer(file.read(), np.uint8)
    except (EOFError, gzip.BadGzipFile, zlib.error) as exc:
        raise DatasetError(str(path), f"is damaged ({exc}).", "Fetch it again") from exc
    if len(values) != math.prod(shape):
        raise _wrong_size(path, len(values), shape)
    return values.reshape(shape)


def _mapped_idx(path: Path) -> np.ndarray:
    """Return the values of an IDX file as a memory map, which reads them when they are used.

    A packed file is unpacked once, into a file beside it.

    Raises:
      DatasetError: as _read_idx says, or there is no room for the unpacked file.
    """
    if path.suffix == ".gz":
        path = _unpacked(path)
    with path.open("rb") as file:
        shape = _shape(path, file.read(4), file)
        start = file.tell()
    size = path.stat().st_size - start
    if size != math.prod(shape):
        raise _wrong_size(path, size, shape)
    return np.memmap(path, np.uint8, mode="r", offset=start, shape=shape)


def _shape(path: Path, magic: bytes, file: object) -> tuple[int, ...]:
    if len(magic) != 4 or magic[:2] != b"\0\0" or magic[2] != _UNSIGNED_BYTES or not magic[3]:
        raise DatasetError(str(path), f"is no IDX file of unsigned bytes: it begins with {magic.hex() or 'nothing'}.")
    header = file.read(4 * magic[3])  # type: ignore[attr-defined]
    if len(header) != 4 * magic[3]:
        raise DatasetError(str(path), "ends inside its header.", "Fetch it again")
    return struct.unpack(f">{magic[3]}I", header)


def _unpacked(path: Path) -> Path:
    plain = path.with_suffix("")
    if plain.is_file():
        return plain
    try:
        with written_whole(plain) as beside, gzip.open(path, "rb") as packed, beside.open("wb") as file:
            shutil.copyfileobj(packed, file)
    except (EOFError, gzip.BadGzipFile, zlib.error) as exc:
        raise DatasetError(str(path), f"is damaged ({exc}).", "Fetch it again") from exc
    except PermissionError as exc:
        raise DatasetError(
            str(path), "cannot be unpacked beside it: the directory may not be written to.", "Unpack it with gunzip"
        ) from exc
    return plain


def _wrong_size(path: Path, size: int, shape: tuple[int, ...]) -> DatasetError:
    wanted = " x ".join(f"{length:,}" for length in shape)
    return DatasetError(str(path), f"has {size:,} bytes of values, and its header says {wanted}.", "Fetch it again")
