"""Packing: documents of tokens, several in a row of a fixed length."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyloader.lazy import lazy_names

if TYPE_CHECKING:
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
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "attention": "block_mask cu_seqlens sequence_bounds",
            "columns": (
                "LOSS_MASK PackedColumnsError pack_columns packed_columns packed_lengths piece_numbers "
                "unpacked_batch with_loss_mask"
            ),
            "losses": "per_source_loss",
            "options": "Packing packing_from_order packing_in_order",
        },
    )

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
