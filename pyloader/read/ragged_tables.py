"""What readers of Arrow tables share whose lists of numbers and bytes are ragged unless one says otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt

from pyloader.read.parquet import ParquetReader

__all__ = ["RaggedTableReader"]


class RaggedTableReader(ParquetReader):
    """A `ParquetReader` of other files, with `ragged=True` as the default."""

    def __init__(
        self,
        batch_size: int = 16,
        shuffle: bool = False,
        seed: int = 42,
        *,
        columns: Sequence[str] | None = None,
        fill: Mapping[str, Any] | None = None,
        dtypes: Mapping[str, npt.DTypeLike] | None = None,
        ragged: Sequence[str] | bool = True,
        **old_names: Any,
    ) -> None:
        super().__init__(
            batch_size, shuffle, seed, columns=columns, fill=fill, dtypes=dtypes, ragged=ragged, **old_names
        )
