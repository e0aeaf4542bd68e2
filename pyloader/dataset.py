"""Dataset: raw columns -> numbers, for one batch.  The second of the three methods that users override."""

from __future__ import annotations

from pyloader.columns import Columns
from pyloader.options import names_of

__all__ = ["Dataset"]

__getattr__ = names_of("pyloader.encode", "PAD_", "PAD_IDX", "TextDataset", of=__name__)


class Dataset:
    """Encodes one batch.  Subclass it and write `batch_encode`.

    Attributes:
      changes_rows: Whether `batch_encode` may return more rows than it got, or fewer, as one that cuts documents into
        windows does: in `pyloader split --encode`, not in a loader.
      is_thread_safe: Whether several threads may call its methods at once, so that num_workers="auto" may start more
        than one; of a subclass that writes methods anew it must be said anew.

    >>> class Lengths(Dataset):
    ...     def batch_encode(self, columns):
    ...         return {"length": [len(text) for text in columns["text"]]}
    >>> Lengths().batch_encode({"text": ["to", "be", "or", "not"]})
    {'length': [2, 2, 2, 3]}
    """

    changes_rows = False
    is_thread_safe: bool = False

    def batch_encode(self, columns: Columns) -> Columns:
        """Turn one batch's raw columns (text, bytes) into numbers.

        For augmentation write `batch_encode(self, columns, keys)`, or `batch_encode(self, columns, rng)`, or take both.
        `keys` is a uint64 array of shape [rows], a random number for each row that depends on the seed, the epoch and
        the sample alone: on any number of ranks and workers, and in a run that resumes, a sample is augmented in the
        same way.  `pyloader.uniform_numbers(keys, 3)` are three numbers in [0, 1) for each row, and
        `np.random.default_rng(key)` is a generator of a row's own.  `rng` is one np.random.Generator for the batch; it
        depends on the seed, the epoch, the step and the rank.

        Returns:
          A dict, name -> list, NumPy array or `Ragged`, with as many rows as came in.  To leave samples out, filter in
          `DataReader.read_file`, or when splitting.

        Raises:
          BadRowsError: it cannot encode some of the rows, all of which the error names: `BadRowsError({3: "is empty"})`
            of pyloader.errors.  `max_skipped` leaves those out; with other errors it encodes the rows in parts, to find
            out which they are.
        """
        raise NotImplementedError(f"{type(self).__name__} has no batch_encode(columns): write one")
