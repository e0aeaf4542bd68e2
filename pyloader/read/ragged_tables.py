"""What readers of other Arrow tables share: ragged columns unless one says otherwise, and tensors as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pyloader.columns import Column
from pyloader.errors import import_optional
from pyloader.read.parquet import ParquetReader

__all__ = ["RaggedTableReader"]


class RaggedTableReader(ParquetReader):
    """A `ParquetReader` of other files, with `ragged=True` as the default; tensors of one shape are arrays."""

    is_thread_safe = True

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

    def _column(self, path: str, name: str, column: Any) -> Column:
        pyarrow = import_optional("pyarrow", wanted_by="RaggedTableReader")
        if not isinstance(column.type, pyarrow.FixedShapeTensorType):
            return super()._column(path, name, column)
        if name in self.list_columns or column.null_count:
            return list(column.to_pylist())
        array: np.ndarray = column.combine_chunks().to_numpy_ndarray()
        dtype = self.dtypes.get(name)
        return array.copy() if dtype is None else array.astype(dtype.base)
