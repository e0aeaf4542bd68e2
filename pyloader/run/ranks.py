"""Ranks: checks of the number of ranks and streams against the samples, the queue and a state, with advice."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from pyloader.errors import DataDirError, ManifestError, StateError
from pyloader.files import ChunkList
from pyloader.plan import RUN_STEPS, Order, steps_per_epoch
from pyloader.run.options import RunOptions
from pyloader.world import World, first_said

__all__ = [
    "check_even_batch",
    "check_queue",
    "check_same_version",
    "check_state_fits_ranks",
    "check_streams",
    "counts_of",
]

_MOST_RANKS = 2**16  # that are looked for, to be advised
_made: Counter[str] = Counter()  # loaders of this process, by what all ranks call alike


def counts_of(chunks: ChunkList, purpose: str) -> np.ndarray:
    """Return how many samples each chunk has, int64 of shape [len(chunks)].

    Raises:
      DataDirError: that is unknown.
    """
    if chunks.counts is None:
        what = f"has no manifest that says how many samples each chunk holds, and {purpose}."
        raise DataDirError(chunks.place, what, f"Count them once with: pyloader index {chunks.place}")
    return chunks.counts


def check_streams(run: RunOptions, world: World, num_streams: int) -> None:
    """Raise unless every step of an epoch can take as many rows from each of `num_streams`.

    Args:
      run: The run's options, with the batch size of this rank.
      world: Which rank this is; its size divides `num_streams`.
      num_streams: How many streams there are.

    Raises:
      DataDirError: the chunks' counts are unknown, or too small.
      ValueError: the options do not go together with several streams.
    """
    batch_size, rule = run.rule.batch_size, run.rule.last_batch
    per_rank = num_streams // world.size
    counts = counts_of(run.chunks, "several ranks or streams need it to have equal steps")
    num_samples, whole_batch = int(counts.sum()), batch_size * world.size
    check_even_batch(batch_size, per_rank)
    if rule == "keep" and num_streams > 1:
        raise ValueError(
            'last_batch="keep" would make a short batch, which ranks and streams cannot share evenly. Of '
            f"{num_samples:,} samples in batches of {whole_batch:,} over all ranks, each epoch "
            f'"drop" leaves out {num_samples % whole_batch:,}, "pad" adds {-num_samples % whole_batch:,} masked rows, '
            f'and "wrap" repeats {-num_samples % whole_batch:,}. Write last_batch="drop", "pad" or "wrap"'
        )
    if num_samples < num_streams:
        what = f"has {num_samples:,} samples, too few for {num_streams:,} streams."
        raise DataDirError(str(run.chunks.root), what, "Each must have at least one")
    if steps_per_epoch(num_samples, whole_batch, rule) == 0:
        what = f"has {num_samples:,} samples, which make no batch of {whole_batch:,} over all ranks"
        raise DataDirError(str(run.chunks.root), f"{what} with last_batch={rule!r}.")


def check_even_batch(batch_size: int, per_rank: int) -> None:
    """Raise unless a rank's batches can take as many rows from each of its streams.

    Raises:
      ValueError: they cannot; the message has sizes that can.
    """
    if batch_size % per_rank:
        below = batch_size // per_rank * per_rank
        wanted = f"{below} or {below + per_rank}" if below else f"{per_rank}"
        raise ValueError(
            f"batch_size={batch_size} cannot be taken evenly from the {per_rank} streams of each rank. "
            f"Write batch_size={wanted}"
        )


def check_same_version(chunks: ChunkList, order: Order, world: World, source: str) -> None:
    """Raise when another rank reads other chunks, where torch.distributed or jax.distributed knows what it has said.

    All ranks make their loaders in the same order; the n-th of each are compared.

    Raises:
      ManifestError: it does.
    """
    if world.size == 1:
        return
    name = f"{os.path.basename(chunks.root)}/{replace(order, fingerprint='')}"
    key = f"pyloader/{name}/{_made[name]}"
    _made[name] += 1
    mine = [str(chunks.data_version or 1), chunks.fingerprint, str(world.rank)]
    version, fingerprint, rank = first_said(key, " ".join(mine), source).split(" ")
    if fingerprint != chunks.fingerprint:
        what = f"is read by rank {world.rank} in version {mine[0]}, and by rank {rank} in version {version}."
        if version == mine[0]:
            what = f"holds other chunks for rank {world.rank} than for rank {rank}: names or sizes differ."
        remedy = f"Give all ranks one version: DataLoader(..., data_version={min(int(version), int(mine[0]))})"
        raise ManifestError(str(chunks.root), what, remedy if version != mine[0] else "Give all ranks the same chunks")


def check_queue(run: RunOptions) -> None:
    """Raise unless the queue can hold what the window mixes.

    Raises:
      ValueError: it cannot; the message has the arithmetic.
    """
    num_served, queue_size, width = len(run.streams.served), run.max_queue_size, run.streams.width
    needed = width * num_served + (width > 1) + run.run_share
    if queue_size >= needed:
        return
    if run.run_share:
        raise ValueError(
            f"bucket_by sorts {RUN_STEPS} steps of {run.rule.batch_size:,} rows at a time, and two such runs take as "
            f"much as {run.run_share:,} chunks, beside the {width * num_served:,} that are mixed: max_queue_size must "
            f"be at least {needed}, got {queue_size}. Write max_queue_size={needed}, or split into larger chunks"
        )
    for_mixing = f"shuffle_window={run.streams.window} holds {width} chunks for mixing and one that is handed out"
    narrower = max(1, (queue_size - 1) // num_served)
    if num_served > 1:
        for_mixing = f"each of the {num_served} streams here holds a chunk"
        if width > 1:
            for_mixing = f"each of the {num_served} streams here holds {width} chunks for mixing, and one is handed out"
    or_narrower = f", or shuffle_window={narrower}" if narrower < width and narrower * num_served <= queue_size else ""
    raise ValueError(
        f"{for_mixing}: max_queue_size must be at least {needed}, got {queue_size}. "
        f"Write max_queue_size={needed}{or_narrower}"
    )


def check_state_fits_ranks(state: Mapping[str, Any], order: Order, world: World) -> None:
    """Raise unless as many ranks as `world` has can go on where `state` stands.

    Raises:
      StateError: they cannot; the message says how many can, and with which batch_size.
    """
    num_streams, whole_batch = state["num_streams"], state.get("batch_size")
    if type(whole_batch) is not int:
        return  # refused as any state that lacks something
    if num_streams == 1 and world.size > 1:
        raise StateError(
            f"the state was saved with one stream, which {world.size} ranks cannot share.",
            f"Go on with one rank and batch_size={whole_batch}. A run that begins with "
            f"world=World(rank, size, num_streams={world.size}) can go on on any number of ranks that divides that",
        )
    if num_streams % world.size:
        small = [size for size in range(1, min(math.isqrt(num_streams), _MOST_RANKS) + 1) if num_streams % size == 0]
        sizes = sorted({*small, *(num_streams // size for size in small)})
        choices = ", ".join(f"{size} (batch_size={whole_batch // size})" for size in sizes)
        raise StateError(
            f"the state was saved with {num_streams} streams, which {world.size} ranks cannot share evenly.",
            f"Numbers of ranks that can: {choices}",
        )
    if world.num_streams not in (None, num_streams):
        raise StateError(
            f"the state was saved with num_streams={num_streams}; this loader has num_streams={world.num_streams}.",
            f"Make it World({world.rank}, {world.size}), which takes the number from the state",
        )
    if num_streams > 1 and whole_batch != order.batch_size:
        raise StateError(
            f"the state was saved with batches of {whole_batch:,} samples over all ranks; "
            f"batch_size={order.batch_size // world.size} makes {order.batch_size:,} on {world.size} "
            f"rank{'s' if world.size > 1 else ''}.",
            f"Make it DataLoader(..., batch_size={whole_batch // world.size})",
        )
