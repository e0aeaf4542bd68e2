"""Dataset: raw columns -> numbers, for one batch.  The second of the three methods that users override."""

from __future__ import annotations

from pyloader.columns import Columns
from pyloader.optional import names_of

__all__ = ["Dataset"]

__getattr__ = names_of("pyloader.encode", "PAD_", "PAD_IDX", "TextDataset", of=__name__)


class Dataset:
    """Encodes one batch.  Subclass it and write `batch_encode`."""

    def batch_encode(self, columns: Columns) -> Columns:
        """Turn one batch's raw columns (text, bytes) into numbers.

        For augmentation write `batch_encode(self, columns, rng)`: `rng` is a np.random.Generator that depends on the
        seed, the epoch and the step alone, so that the same batch is augmented in the same way in every run.

        Returns:
          A dict, name -> list or NumPy array, with as many rows as came in.  To leave samples out, filter in
          `DataReader.read_file`, or when splitting.
        """
        raise NotImplementedError(f"{type(self).__name__} has no batch_encode(columns): write one")
