"""Who reads what, and when.  Pure: numbers in, numbers and arrays out; no files, no threads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyloader.lazy import lazy_names

if TYPE_CHECKING:
    from pyloader.plan.buckets import RUN_STEPS, order_in_run
    from pyloader.plan.consistency import check_left_out, check_with_counts, check_without_counts
    from pyloader.plan.dealing import Dealing
    from pyloader.plan.fetches import bytes_fetched
    from pyloader.plan.items import (
        ITEM_RULES,
        ItemGroup,
        ItemPlan,
        item_groups,
        item_position_from_state,
        item_state_of,
    )
    from pyloader.plan.keys import STAND_IN, mix_bits, row_keys, sample_numbers, uniform_numbers
    from pyloader.plan.locating import Lengths, is_filling, rows_between, rows_of_step, rows_of_steps
    from pyloader.plan.mixing import (
        ClassSpread,
        batch_concentrations,
        class_spread,
        mixture_concentrations,
        planned_variety,
        variety,
    )
    from pyloader.plan.mixture import MixedStreams
    from pyloader.plan.mixture_state import (
        data_versions_in_state,
        fingerprints_in_state,
        mixture_position,
        mixture_state_of,
        same_weights,
        sources_in_state,
        windows_in_state,
    )
    from pyloader.plan.order import (
        chunk_order,
        deal_phase,
        encode_generator,
        order_digest,
        pack_generator,
        row_order,
        segment_order,
        source_seed,
    )
    from pyloader.plan.packed_rows import PackedRows
    from pyloader.plan.packing import Pieces, num_packed_rows, pack, pieces_of
    from pyloader.plan.permutation import Permutation
    from pyloader.plan.position import START, ItemPosition, Position
    from pyloader.plan.samplers import PermutationSampler, Sampler, SequentialSampler
    from pyloader.plan.schedule import EXHAUSTED_RULES, Mark, Schedule
    from pyloader.plan.shares import Shares, rounded_shares
    from pyloader.plan.sources import Source, SourceStreams, source_streams
    from pyloader.plan.state import (
        Order,
        check_order,
        check_version,
        data_version_in_state,
        left_out_in_state,
        order_from_state,
        position_from_state,
        state_of,
    )
    from pyloader.plan.steps import LAST_BATCH_RULES, filling_rows, steps_per_epoch
    from pyloader.plan.streams import ReadTask, StreamPart, Streams
    from pyloader.plan.upcoming import with_upcoming
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "buckets": "RUN_STEPS order_in_run",
            "consistency": "check_left_out check_with_counts check_without_counts",
            "dealing": "Dealing",
            "fetches": "bytes_fetched",
            "items": "ITEM_RULES ItemGroup ItemPlan item_groups item_position_from_state item_state_of",
            "keys": "STAND_IN mix_bits row_keys sample_numbers uniform_numbers",
            "locating": "Lengths is_filling rows_between rows_of_step rows_of_steps",
            "mixing": "ClassSpread batch_concentrations class_spread mixture_concentrations planned_variety variety",
            "mixture": "MixedStreams",
            "mixture_state": (
                "data_versions_in_state fingerprints_in_state mixture_position mixture_state_of same_weights "
                "sources_in_state windows_in_state"
            ),
            "order": (
                "chunk_order deal_phase encode_generator order_digest pack_generator row_order segment_order "
                "source_seed"
            ),
            "packed_rows": "PackedRows",
            "packing": "Pieces num_packed_rows pack pieces_of",
            "permutation": "Permutation",
            "position": "START ItemPosition Position",
            "samplers": "PermutationSampler Sampler SequentialSampler",
            "schedule": "EXHAUSTED_RULES Mark Schedule",
            "shares": "Shares rounded_shares",
            "sources": "Source SourceStreams source_streams",
            "state": (
                "Order check_order check_version data_version_in_state left_out_in_state order_from_state "
                "position_from_state state_of"
            ),
            "steps": "LAST_BATCH_RULES filling_rows steps_per_epoch",
            "streams": "ReadTask StreamPart Streams",
            "upcoming": "with_upcoming",
        },
    )

__all__ = [
    "EXHAUSTED_RULES",
    "ITEM_RULES",
    "LAST_BATCH_RULES",
    "RUN_STEPS",
    "STAND_IN",
    "START",
    "ClassSpread",
    "Dealing",
    "ItemGroup",
    "ItemPlan",
    "ItemPosition",
    "Lengths",
    "Mark",
    "MixedStreams",
    "Order",
    "PackedRows",
    "Permutation",
    "PermutationSampler",
    "Pieces",
    "Position",
    "ReadTask",
    "Sampler",
    "Schedule",
    "SequentialSampler",
    "Shares",
    "Source",
    "SourceStreams",
    "StreamPart",
    "Streams",
    "batch_concentrations",
    "bytes_fetched",
    "check_left_out",
    "check_order",
    "check_version",
    "check_with_counts",
    "check_without_counts",
    "chunk_order",
    "class_spread",
    "data_version_in_state",
    "data_versions_in_state",
    "deal_phase",
    "encode_generator",
    "filling_rows",
    "fingerprints_in_state",
    "is_filling",
    "item_groups",
    "item_position_from_state",
    "item_state_of",
    "left_out_in_state",
    "mix_bits",
    "mixture_concentrations",
    "mixture_position",
    "mixture_state_of",
    "num_packed_rows",
    "order_digest",
    "order_from_state",
    "order_in_run",
    "pack",
    "pack_generator",
    "pieces_of",
    "planned_variety",
    "position_from_state",
    "rounded_shares",
    "row_keys",
    "row_order",
    "rows_between",
    "rows_of_step",
    "rows_of_steps",
    "same_weights",
    "sample_numbers",
    "segment_order",
    "source_seed",
    "source_streams",
    "sources_in_state",
    "state_of",
    "steps_per_epoch",
    "uniform_numbers",
    "variety",
    "windows_in_state",
    "with_upcoming",
]
