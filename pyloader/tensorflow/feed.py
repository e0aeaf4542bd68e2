"""Feed: what tf.data has taken from a loader, and what of it the loop has received.

tf.data takes batches in a thread of its own, ahead of the loop.  So they are numbered, and kept until the last step of
the pipeline, which runs when the loop asks for a batch, says which number goes out.
"""

from __future__ import annotations

import atexit
from collections.abc import Iterator
from threading import RLock
from typing import Any
from weakref import WeakSet

import numpy as np
import tensorflow as tf

from pyloader.errors import CollateError, StateError
from pyloader.run.adapters import LoaderAdapter
from pyloader.tensorflow.collator import as_array

__all__ = ["Feed"]

_feeds: WeakSet[Feed] = WeakSet()


@atexit.register
def _close_feeds() -> None:
    """Close what a program has left open, while the interpreter still runs.

    TensorFlow's threads go on asking; one that asks while the interpreter is being taken down can hang the process.
    """
    for feed in list(_feeds):
        feed.close()


class Feed(LoaderAdapter[Any]):
    """Numbered batches of a loader, for one tf.data iterator after another.

    Args:
      loader: A DataLoader, or a wrapper of one.

    Attributes:
      signature: What every batch must be: tensor specs in the structure of a batch; None takes any.
    """

    def __init__(self, loader: Any) -> None:
        super().__init__(loader, self._checked)
        self._loader_link.name = "LoaderDataset"  # what the user knows
        self.signature: Any = None
        self._first = 0  # the number of the first batch that is kept
        self._iterator = 0  # only the newest is given batches
        self._is_closed = False
        self._taking = RLock()
        self._counting = RLock()  # never held for long: the loop waits for it
        _feeds.add(self)

    def numbered(self) -> Iterator[tuple[int, Any]]:
        """Yield (number, batch), from the first that the loop has not received to the run's end.

        It ends when the dataset is closed meanwhile: tf.data, which asks ahead of the loop, would print an error.
        """
        was_closed = self._is_closed
        with self._taking:
            self._fill(0)  # raises when the loader has been wrapped anew
            iter(self)
            self._iterator += 1
            mine, number = self._iterator, self._first
        while True:
            with self._taking:
                if self._is_closed and not was_closed:
                    return
                if mine != self._iterator:
                    raise StateError("another iterator of this tf.data.Dataset has begun.", "Use one at a time")
                # One more than goes out now, so that with a run's last batch its end is known.
                while self._end is None and self._first + len(self._ahead) < number + 2:
                    self._take()
                batch = self._kept(number)
            if batch is None:
                break
            yield number, batch[0]
            number += 1
        assert self._end is not None
        if self._is_closed and not was_closed:
            return
        if not isinstance(self._end[0], StopIteration):
            raise self._end[0]

    def handed(self, number: int) -> int:
        """Note that the loop receives the batch of this number; called by tf.data."""
        with self._counting:
            while self._ahead and self._first <= number:
                self._loader_link.received = self._ahead.popleft()[1]
                self._first += 1
            if not self._ahead and self._end is not None and isinstance(self._end[0], StopIteration):
                self._loader_link.received = self._end[1]
        return number

    def peek(self) -> Any:
        """Return the batch that comes next, without using it up; at a run's end, the first of the next run."""
        with self._taking:
            return super().peek()

    def close(self) -> None:
        """Close the loader, and drop what was taken from it."""
        self._is_closed = True
        self._loader.close()  # first, so that nobody is in _take for long
        with self._taking:
            super().close()

    def _reset(self) -> None:
        with self._taking:
            super()._reset()

    def _load(self, state: dict[str, Any]) -> None:
        with self._taking:
            super()._load(state)

    def _drop_ahead(self) -> None:
        with self._counting:
            self._iterator += 1
            self._first += len(self._ahead)
            super()._drop_ahead()

    def _kept(self, number: int) -> tuple[Any, Any] | None:
        with self._counting:
            place = number - self._first
            return self._ahead[place] if place < len(self._ahead) else None

    def _checked(self, batch: Any) -> Any:
        """Return a batch as arrays, in dicts and tuples, that keep to the signature."""
        arrays = _as_arrays(batch, "")
        if self.signature is not None:
            tf.nest.assert_same_structure(self.signature, arrays)
            for spec, array in zip(tf.nest.flatten(self.signature), tf.nest.flatten(arrays), strict=True):
                _check(spec, array)
        return arrays


def _as_arrays(batch: Any, name: str) -> Any:
    if isinstance(batch, dict):
        return {key: _as_arrays(value, str(key)) for key, value in batch.items()}
    if isinstance(batch, tuple) or (isinstance(batch, list) and any(isinstance(v, np.ndarray) for v in batch)):
        return tuple(_as_arrays(value, name or str(place)) for place, value in enumerate(batch))
    return as_array(batch, name)


def _check(spec: tf.TensorSpec, array: np.ndarray) -> None:
    if tf.as_dtype(array.dtype) != spec.dtype:
        what = f"{spec.name!r} is {array.dtype} in this batch, and {spec.dtype.name} in the first."
        raise CollateError(what, f"Settle it: NumpyDataCollator(dtypes={{{spec.name!r}: {spec.dtype.name!r}}})")
    if not spec.shape.is_compatible_with(array.shape):
        what = f"{spec.name!r} has the shape {list(array.shape)} in this batch, and {spec.shape} was announced."
        raise CollateError(what, f"Where it changes, write as_tf_dataset(loader, varying=[{spec.name!r}])")
