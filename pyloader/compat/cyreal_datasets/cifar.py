"""CIFAR-10 and CIFAR-100: small photographs, 32 x 32, from the binary version: nothing is unpickled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from pyloader.compat.cyreal_datasets.download import Place, RemoteFile, cache_place, downloaded, member_of
from pyloader.compat.cyreal_datasets.small import Rows, SmallDataset
from pyloader.errors import DatasetError
from pyloader.options import checked_word

__all__ = ["CIFAR10Dataset", "CIFAR100Dataset"]

_PIXELS = 3 * 32 * 32


class CIFAR10Dataset(SmallDataset):
    """CIFAR-10: 50,000 and 10,000 photographs of ten kinds of things.

    A sample is {"image": uint8 [32, 32, 3], "label": int32}.  `make_disk_source` maps the .bin files.

    Args:
      split: "train" or "test".
      cache_dir: Where downloads are kept; ~/.cache/pyloader/cifar10 unless given.
      data_dir: A directory that has cifar-10-binary.tar.gz, or its .bin files.

    Raises:
      ValueError: another split.
      DatasetError: a file is missing, damaged, or cannot be downloaded.
    """

    _name: ClassVar[str] = "cifar10"
    _remote: ClassVar[RemoteFile] = RemoteFile(
        "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    )
    _folder: ClassVar[str] = "cifar-10-batches-bin"
    _files: ClassVar[dict[str, list[str]]] = {
        "train": [f"data_batch_{number}.bin" for number in range(1, 6)],
        "test": ["test_batch.bin"],
    }
    _labels: ClassVar[list[str]] = ["label"]  # a byte each, before the pixels

    def __init__(self, split: str = "train", cache_dir: Place = None, data_dir: Place = None) -> None:
        super().__init__(self._rows(np.concatenate(self._mapped(split, cache_dir, data_dir))))

    @classmethod
    def _reading(cls, **options: Any) -> tuple[int, Callable[[np.ndarray], Rows]]:
        files = cls._mapped(**options)
        ends = np.cumsum([len(records) for records in files])

        def read(indices: np.ndarray) -> Rows:
            records = np.empty((len(indices), files[0].shape[1]), np.uint8)
            holders = np.searchsorted(ends, indices, side="right")
            for number, (mapped, end) in enumerate(zip(files, ends, strict=True)):
                here = holders == number
                records[here] = mapped[indices[here] - (end - len(mapped))]
            return cls._rows(records)

        return int(ends[-1]), read

    @classmethod
    def _rows(cls, records: np.ndarray) -> Rows:
        images = records[:, len(cls._labels) :].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        labels = {name: records[:, place].astype(np.int32) for place, name in enumerate(cls._labels)}
        return {"image": np.ascontiguousarray(images), **dict(sorted(labels.items(), reverse=True))}

    @classmethod
    def _mapped(cls, split: str = "train", cache_dir: Place = None, data_dir: Place = None) -> list[np.ndarray]:
        cache = cache_place(cache_dir, cls._name)
        names = cls._files[checked_word("split", split, *cls._files)]
        paths = cls._paths(names, cache, None if data_dir is None else Path(data_dir))
        return [cls._mapped_file(path) for path in paths]

    @classmethod
    def _paths(cls, names: list[str], cache: Path, data_dir: Path | None) -> list[Path]:
        if data_dir is None:
            archive = downloaded(cls._remote, cache)
        else:
            for place in (data_dir, data_dir / cls._folder):
                if all((place / name).is_file() for name in names):
                    return [place / name for name in names]
            archive = data_dir / cls._remote.name
            if not archive.is_file():
                raise DatasetError(
                    str(data_dir),
                    f"has neither {', '.join(names)} nor {cls._remote.name}.",
                    "The version for Python is not read: opening it would run code that it holds",
                )
        return [member_of(archive, f"{cls._folder}/{name}", cache / cls._folder / name) for name in names]

    @classmethod
    def _mapped_file(cls, path: Path) -> np.ndarray:
        width = len(cls._labels) + _PIXELS
        size = path.stat().st_size
        if not size or size % width:
            raise DatasetError(str(path), f"has {size:,} bytes, not whole records of {width:,}.", "Fetch it again")
        return np.memmap(path, np.uint8, mode="r", shape=(size // width, width))


class CIFAR100Dataset(CIFAR10Dataset):
    """CIFAR-100: as CIFAR-10, of a hundred kinds; a sample also has its "coarse_label", one of twenty."""

    _name = "cifar100"
    _remote = RemoteFile(
        "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
        "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
    )
    _folder = "cifar-100-binary"
    _files: ClassVar[dict[str, list[str]]] = {"train": ["train.bin"], "test": ["test.bin"]}
    _labels: ClassVar[list[str]] = ["coarse_label", "label"]
