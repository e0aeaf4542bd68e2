"""A loader as a tf.data.Dataset: for Keras, and for whatever else takes one."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import tensorflow as tf

from pyloader.collate import map_leaves
from pyloader.options import checked_integer
from pyloader.tensorflow.feed import Feed

__all__ = ["LoaderDataset", "as_tf_dataset"]


class LoaderDataset(tf.data.Dataset):
    """A tf.data.Dataset of a loader's batches, which knows what the loop has received; as_tf_dataset makes it."""

    def __init__(self, feed: Feed, pipeline: tf.data.Dataset) -> None:
        self._feed, self._pipeline = feed, pipeline
        super().__init__(tf.data.experimental.to_variant(pipeline))

    def _inputs(self) -> list[tf.data.Dataset]:
        return [self._pipeline]

    @property
    def element_spec(self) -> Any:
        """What a batch is: tensor specs in its structure."""
        return self._pipeline.element_spec

    @property
    def steps_done(self) -> int:
        """How many batches the loop has received, over all epochs; counted on by a loader that resumes."""
        return self._feed.steps_done

    @property
    def epochs_done(self) -> int:
        """How many epochs the loop has received to their end."""
        return self._feed.epochs_done

    @property
    def steps_per_epoch(self) -> int | None:
        """How many batches an epoch has; None when the chunks have no manifest."""
        return self._feed.steps_per_epoch

    def state_dict(self) -> dict[str, Any]:
        """Return what the loop has received, as small JSON; a fresh one that loads it goes on with the next batch."""
        return self._feed.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with the batch after `state`, in the next iterator.

        Raises:
          StateError: the state was saved with other chunks or another order; the message says what to write.
        """
        self._feed.load_state_dict(state)

    def peek(self) -> Any:
        """Return the batch that comes next, as NumPy arrays, without using it up."""
        return self._feed.peek()

    def stats(self) -> Any:
        """Return the loader's stats, counted up to the batch last handed to the loop."""
        return self._feed.stats()

    def reset(self) -> None:
        """Go back to the start of epoch 0, in the next iterator."""
        self._feed.reset()

    def close(self) -> None:
        """Close the loader."""
        self._feed.close()


def as_tf_dataset(loader: Any, *, prefetch: int = 2, varying: Collection[str] = ()) -> LoaderDataset:
    """Return the batches of `loader` as a tf.data.Dataset, for model.fit or a loop.

    Each iterator, and so each epoch of model.fit without steps_per_epoch, is a `for` over the loader, which goes on
    where the loop was; with steps_per_epoch Keras draws all epochs from one, so give the loader num_epochs=None.
    `state_dict`, `load_state_dict`, `steps_done`, `epochs_done`, `peek`, `stats`, `reset` and `close` are those of the
    batch last taken out: by the loop, by model.fit, or by what you build on it.  `map` takes batches one by one, and
    leaves that so; another `prefetch`, `shuffle` or a parallel `map` takes them ahead of the loop.

    The first batch is read now: it says what batches are like.  Rows are any number, other sizes are those of the
    first batch.

    Args:
      loader: A DataLoader, or a wrapper of one, whose batches are arrays or lists of strings in dicts or tuples.
      prefetch: How many batches tf.data holds ahead of the loop.
      varying: The columns (of a tuple: the places, "0") that also have other sizes from batch to batch, as
        PaddingDataCollator makes them.

    Raises:
      CollateError: the batches hold what TensorFlow has no tensors of.
      TypeError, ValueError: an argument that makes no sense.  Errors of the loader come out of the iterator as
        TensorFlow's, with their message, after the good batches before them.
    """
    checked_integer("prefetch", prefetch, at_least=1)
    feed = Feed(loader)
    names: set[str] = set()

    def spec(name: str, array: np.ndarray) -> tf.TensorSpec:
        names.add(name)
        sizes = [None] * (array.ndim - 1) if name in varying else array.shape[1:]
        shape = [None, *sizes][: array.ndim]  # a number is of the batch, as `max_seqlen` of packed rows is
        return tf.TensorSpec(shape, tf.as_dtype(array.dtype), name)

    feed.signature = map_leaves(spec, feed.peek())
    if unknown := set(varying) - names:
        raise ValueError(f"varying names {sorted(unknown)}; the batches have {sorted(names)}")

    def count(number: tf.Tensor, batch: Any) -> Any:
        counted = tf.numpy_function(feed.handed, [number], tf.int64)
        with tf.control_dependencies([counted]):
            return tf.nest.map_structure(tf.identity, batch)

    number = tf.TensorSpec([], tf.int64)
    taken = tf.data.Dataset.from_generator(feed.numbered, output_signature=(number, feed.signature))
    # Nothing may be taken ahead behind the step that counts.
    options = tf.data.Options()
    options.experimental_optimization.inject_prefetch = False
    options.experimental_optimization.map_parallelization = False
    return LoaderDataset(feed, taken.prefetch(prefetch).map(count).with_options(options))
