"""Attention: what kernels need to know of the documents in packed rows."""

from __future__ import annotations

import numpy as np

from pyloader.columns import Columns
from pyloader.packing.options import Packing

__all__ = ["block_mask", "cu_seqlens", "sequence_bounds"]


def cu_seqlens(segment_ids: np.ndarray, max_pieces: int | None = None) -> tuple[np.ndarray, int]:
    """Return where each document's piece begins in the batch's tokens end to end, for variable-length flash attention.

    What fills a row up is a piece of its own, so that all tokens of all rows have one.

    Args:
      segment_ids: int32 [rows, length], as a packed batch has them.
      max_pieces: Make the array of one size for all batches: [max_pieces + 1], its end repeated.

    Returns:
      int32 [pieces + 1], from 0 to rows * length, or [max_pieces + 1]; and the length of the longest piece.

    Raises:
      ValueError: there are more than `max_pieces` pieces; the message says how many.
    """
    rows, length = segment_ids.shape
    begins = np.ones((rows, length), bool)
    begins[:, 1:] = segment_ids[:, 1:] != segment_ids[:, :-1]
    bounds = np.append(np.flatnonzero(begins), rows * length).astype(np.int32)
    longest = int(np.diff(bounds).max(initial=0))
    if max_pieces is not None:
        if len(bounds) > max_pieces + 1:
            raise ValueError(f"the batch has {len(bounds) - 1:,} pieces, more than max_pieces={max_pieces:,}")
        bounds = np.concatenate([bounds, np.full(max_pieces + 1 - len(bounds), bounds[-1], np.int32)])
    return bounds, longest


def block_mask(segment_ids: np.ndarray) -> np.ndarray:
    """Return which token may attend to which, bool [rows, 1, length, length]: those before it in its own document.

    It goes to `torch.nn.functional.scaled_dot_product_attention(attn_mask=)` as a tensor, and to
    `jax.nn.dot_product_attention(mask=)`.  What fills up attends to itself alone: a softmax over nothing is NaN.
    """
    length = segment_ids.shape[1]
    same = (segment_ids[:, :, None] == segment_ids[:, None, :]) & (segment_ids[:, :, None] > 0)
    mask: np.ndarray = (same & np.tri(length, dtype=bool)) | np.eye(length, dtype=bool)
    return mask[:, None]


def sequence_bounds(batch: Columns, packing: Packing) -> Columns:
    """Return `cu_seqlens` and `max_seqlen` of a batch; nothing where `max_documents` does not say how many there are.

    A row has at most a piece more than documents: what fills it up.
    """
    if packing.max_documents is None:
        return {}
    segment_ids = batch["segment_ids"]
    assert isinstance(segment_ids, np.ndarray)
    bounds, longest = cu_seqlens(segment_ids, len(segment_ids) * (packing.max_documents + 1))
    return {"cu_seqlens": bounds, "max_seqlen": np.array(longest, np.int32)}
