"""Packing: documents of tokens, several in a row of a fixed length."""

from pyloader.packing.attention import block_mask, cu_seqlens, sequence_bounds
from pyloader.packing.columns import (
    LOSS_MASK,
    PackedColumnsError,
    pack_columns,
    packed_columns,
    packed_lengths,
    piece_numbers,
    unpacked_batch,
    with_loss_mask,
)
from pyloader.packing.losses import per_source_loss
from pyloader.packing.options import Packing, packing_from_order, packing_in_order

__all__ = [
    "LOSS_MASK",
    "PackedColumnsError",
    "Packing",
    "block_mask",
    "cu_seqlens",
    "pack_columns",
    "packed_columns",
    "packed_lengths",
    "packing_from_order",
    "packing_in_order",
    "per_source_loss",
    "piece_numbers",
    "sequence_bounds",
    "unpacked_batch",
    "with_loss_mask",
]
