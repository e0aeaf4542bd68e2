"""Samples -> chunks: ChunkWriter, one sample after another; split, a dump of any size; compact, small chunks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyloader.lazy import lazy_names

if TYPE_CHECKING:
    from pyloader.write.compacting import CompactReport, compact
    from pyloader.write.formats import FORMATS
    from pyloader.write.inputs import INPUT_FORMATS
    from pyloader.write.report import OutputReport, SplitReport
    from pyloader.write.splitter import discard_stopped, split
    from pyloader.write.writer import ChunkWriter
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "compacting": "CompactReport compact",
            "formats": "FORMATS",
            "inputs": "INPUT_FORMATS",
            "report": "OutputReport SplitReport",
            "splitter": "discard_stopped split",
            "writer": "ChunkWriter",
        },
    )

__all__ = [
    "FORMATS",
    "INPUT_FORMATS",
    "ChunkWriter",
    "CompactReport",
    "OutputReport",
    "SplitReport",
    "compact",
    "discard_stopped",
    "split",
]
