"""Metrics: what a loader counts, as one flat dict of numbers whose names say their units."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pyloader.observe.chunk_stats import ChunkStats
from pyloader.observe.stats import Stats

__all__ = ["METRICS", "Metric", "metrics_of"]


@dataclass(frozen=True, slots=True)
class Metric:
    """What a number of `metrics()` is."""

    meaning: str
    # whether it only grows while the loader lives; others go up and down
    grows: bool = False


METRICS: dict[str, Metric] = {
    "rank": Metric("which data-parallel rank this is"),
    "num_ranks": Metric("how many there are"),
    "steps_done": Metric("batches before the loop's position, over all epochs; counted on by a loader that resumes"),
    "epochs_done": Metric("epochs delivered to their end"),
    "steps": Metric("batches delivered since the loader was made", grows=True),
    "samples": Metric("samples in them, filling included", grows=True),
    "samples_per_second": Metric("from the first request to the latest batch, the loop's own work included"),
    "loop_seconds": Metric("that time", grows=True),
    "data_wait_seconds": Metric("how much of it the loop waited for data", grows=True),
    "exposed_wait_fraction": Metric("data_wait_seconds by loop_seconds"),
    "first_wait_seconds": Metric("how long the first batch took"),
    "longest_wait_seconds": Metric("the longest wait after the first"),
    "wait_p50_seconds": Metric("half of the batches waited no longer; at most 19% too large, as the next two"),
    "wait_p95_seconds": Metric("95% of the batches waited no longer"),
    "wait_p99_seconds": Metric("99% of the batches waited no longer"),
    "busy_read_seconds": Metric("how long reading worked, over all its threads", grows=True),
    "busy_fetch_seconds": Metric("the same of fetching chunks of a store", grows=True),
    "busy_shuffle_seconds": Metric("the same of dealing and gathering rows", grows=True),
    "busy_take_seconds": Metric("the same of taking items", grows=True),
    "busy_transform_seconds": Metric("the same of `transform`", grows=True),
    "busy_encode_seconds": Metric("the same of `batch_encode`", grows=True),
    "busy_collate_seconds": Metric("the same of `collate_batch`", grows=True),
    "dropped_samples": Metric('samples that last_batch="drop" left out', grows=True),
    "filled_samples": Metric('rows that last_batch="pad" or "wrap" repeated', grows=True),
    "skipped": Metric("chunks, rows or items left out under max_skipped"),
    "stand_in_samples": Metric("rows that stood in for them", grows=True),
    "read_bytes": Metric("bytes of the chunks that were read, as they lie on disk", grows=True),
    "read_retries": Metric("reads that were tried again", grows=True),
    "resident_chunks": Metric("the most chunks' worth of rows that were in memory at once"),
    "resident_chunks_bound": Metric("the bound on it, max_queue_size"),
    "resident_bytes": Metric("the most bytes of columns that were in memory at once; with max_bytes"),
    "resident_bytes_bound": Metric("the bound on it, max_bytes"),
    "mixed_chunks": Metric("of how many chunks the average batch held samples"),
    "packed_fill": Metric("which share of the packed rows' tokens are of documents; with pack"),
    "source_samples": Metric("samples of one source of a mixture: `source_samples/web`, as the next four", grows=True),
    "source_tokens": Metric("tokens of it, of packed rows", grows=True),
    "source_samples_done": Metric(
        "samples of it before the position, over all ranks; counted on by a loader that resumes"
    ),
    "source_tokens_done": Metric("tokens in those, of packed rows, by their average; exact after whole epochs of it"),
    "source_epochs": Metric("how often it has been gone through, over all ranks"),
    "fetched_bytes": Metric("bytes that came from a store", grows=True),
    "fetch_retries": Metric("requests to it that were made again", grows=True),
    "cache_hits": Metric("chunks that were in the cache when they were wanted", grows=True),
    "cache_misses": Metric("chunks that were fetched", grows=True),
}


def metrics_of(stats: Stats, *, steps_done: int, epochs_done: int) -> dict[str, float]:
    """Return the numbers of a loader, in the order of METRICS: those that its kind has.

    Args:
      stats: What it has counted.
      steps_done: Batches before its position.
      epochs_done: Epochs delivered to their end.
    """
    found: dict[str, float | None] = {
        "rank": stats.rank,
        "num_ranks": stats.num_ranks,
        "steps_done": steps_done,
        "epochs_done": epochs_done,
        "steps": stats.num_steps,
        "samples": stats.num_samples,
        "samples_per_second": stats.samples_per_second,
        "loop_seconds": stats.loop_seconds,
        "data_wait_seconds": stats.wait_seconds,
        "exposed_wait_fraction": stats.waiting_share,
        "first_wait_seconds": stats.first_wait_seconds,
        "longest_wait_seconds": stats.longest_wait_seconds,
        **{f"wait_{name}_seconds": seconds for name, seconds in stats.wait_quantiles.items()},
        **{f"busy_{stage}_seconds": seconds for stage, seconds in stats.busy_seconds.items()},
        "dropped_samples": stats.dropped,
        "filled_samples": stats.filled,
        "skipped": len(stats.skipped),
        "stand_in_samples": stats.stand_ins,
    }
    if isinstance(stats, ChunkStats):
        found |= {
            "read_bytes": stats.read_bytes,
            "read_retries": stats.num_retries,
            "resident_chunks": stats.resident_peak,
            "resident_chunks_bound": stats.max_queue_size,
            "resident_bytes": stats.resident_bytes_peak,
            "resident_bytes_bound": stats.max_bytes,
            "mixed_chunks": None if math.isnan(stats.mixing) else stats.mixing,
            "packed_fill": stats.packed_fill,
            "fetched_bytes": stats.fetched_bytes,
            "fetch_retries": stats.num_fetch_retries,
            "cache_hits": stats.cache_hits,
            "cache_misses": stats.cache_misses,
        }
        for source, counted in stats.sources.items():
            found[f"source_samples/{source}"] = counted.num_samples
            found[f"source_tokens/{source}"] = counted.num_tokens
            found[f"source_samples_done/{source}"] = counted.samples_done
            found[f"source_tokens_done/{source}"] = counted.tokens_done
            found[f"source_epochs/{source}"] = counted.epochs
    names = list(METRICS)
    return {
        name: value
        for name, value in sorted(found.items(), key=lambda item: names.index(item[0].partition("/")[0]))
        if value is not None
    }
