"""Losses: what each source of a mixture has of a batch's loss, for arrays of NumPy, torch and JAX alike."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["per_source_loss"]


def per_source_loss(losses: Any, source: Any, *, num_sources: int, mask: Any = None) -> tuple[Any, Any]:
    """Return the sum of the losses of each source, and of how many it is; their quotient is the mean.

    They are two, so that several ranks can add theirs up before they divide.  It goes inside `jax.jit`.

    Args:
      losses: Of each row, float [rows]; or of each token, [rows, length].
      source: Which source each row is of, int64 [rows]: a batch has it with `with_source=True`.
      num_sources: How many sources there are.
      mask: Which losses count, bool of the shape of `losses`: a packed batch's `loss_mask`; None for all.

    Returns:
      Two arrays of shape [num_sources], of the library that `losses` are of, on the same device.
    """
    library, on_device = _library_of(losses)
    source, sources = library.asarray(source, **on_device), library.arange(num_sources, **on_device)
    mask = library.ones_like(losses) > 0 if mask is None else library.asarray(mask, **on_device)
    of_rows = library.where(mask, losses, 0.0).reshape(losses.shape[0], -1).sum(1)
    counts = mask.reshape(losses.shape[0], -1).sum(1)
    is_of = source[:, None] == sources[None, :]
    return library.where(is_of, of_rows[:, None], 0.0).sum(0), library.where(is_of, counts[:, None], 0).sum(0)


def _library_of(array: Any) -> tuple[Any, dict[str, Any]]:
    """Return what has `where` and `arange` for an array, and the options that put what they make beside it."""
    root = type(array).__module__.partition(".")[0]
    if root == "torch":
        return importlib.import_module("torch"), {"device": array.device}
    return importlib.import_module("jax.numpy" if root in ("jax", "jaxlib") else "numpy"), {}
