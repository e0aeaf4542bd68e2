"""What happened, and where the time went."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyloader.lazy import lazy_names

if TYPE_CHECKING:
    from pyloader.observe.chunk_stats import ChunkStats, SourceStats
    from pyloader.observe.counters import Counters
    from pyloader.observe.exporting import jsonl, opentelemetry, prometheus, tensorboard, wandb
    from pyloader.observe.metrics import METRICS, Metric, metrics_of
    from pyloader.observe.progress import ProgressBar
    from pyloader.observe.run_log import RunLog
    from pyloader.observe.stats import Stats
    from pyloader.observe.tracing import Tracer
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "chunk_stats": "ChunkStats SourceStats",
            "counters": "Counters",
            "exporting": "jsonl opentelemetry prometheus tensorboard wandb",
            "metrics": "METRICS Metric metrics_of",
            "progress": "ProgressBar",
            "run_log": "RunLog",
            "stats": "Stats",
            "tracing": "Tracer",
        },
    )

__all__ = [
    "METRICS",
    "ChunkStats",
    "Counters",
    "Metric",
    "ProgressBar",
    "RunLog",
    "SourceStats",
    "Stats",
    "Tracer",
    "jsonl",
    "metrics_of",
    "opentelemetry",
    "prometheus",
    "tensorboard",
    "wandb",
]
