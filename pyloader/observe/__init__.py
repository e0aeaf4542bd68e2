"""What happened, and where the time went."""

from pyloader.observe.chunk_stats import ChunkStats, SourceStats
from pyloader.observe.counters import Counters
from pyloader.observe.exporting import jsonl, opentelemetry, prometheus, tensorboard, wandb
from pyloader.observe.metrics import METRICS, Metric, metrics_of
from pyloader.observe.progress import ProgressBar
from pyloader.observe.run_log import RunLog
from pyloader.observe.stats import Stats
from pyloader.observe.tracing import Tracer

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
