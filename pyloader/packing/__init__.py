"""Packing: documents of tokens, several in a row of a fixed length."""

from pyloader.packing.attention import block_mask, cu_seqlens
from pyloader.packing.columns import PackedColumnsError, pack_columns, packed_lengths, unpacked_batch
from pyloader.packing.losses import per_source_loss
from pyloader.packing.options import Packing

__all__ = [
    "PackedColumnsError",
    "Packing",
    "block_mask",
    "cu_seqlens",
    "pack_columns",
    "packed_lengths",
    "per_source_loss",
    "unpacked_batch",
]
