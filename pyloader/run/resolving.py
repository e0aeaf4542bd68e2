"""Resolving: the options of a DataLoader, with all defaults filled in and checked against the chunks."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

from pyloader.collate import NumpyDataCollator, two_steps
from pyloader.datareader import DataReader
from pyloader.deliver import called_at_once
from pyloader.errors import DataDirError, ManifestError, StateError
from pyloader.files import (
    ChunkList,
    MixedChunks,
    MixedVerification,
    StoreOptions,
    Verification,
    in_version_of,
    list_chunks,
    verification_of,
)
from pyloader.files.mixed_chunks import mixed_chunks
from pyloader.mixture import Mixture
from pyloader.options import AUTO, MOST, check_workers, checked_integer, checked_max_skipped, parse_bytes, parse_memory
from pyloader.packing import packing_in_order
from pyloader.plan import Order, Streams, data_version_in_state, data_versions_in_state, fingerprints_in_state
from pyloader.read import Nulls
from pyloader.run.arguments import LoaderArguments
from pyloader.run.chosen_reader import chosen_reader
from pyloader.run.loader_options import SHUFFLE_WINDOW, LoaderOptions
from pyloader.run.mixing import MixtureOptions, shares_of
from pyloader.run.mixture_arguments import check_alike, loss_mask_of, mixture_of, of_source
from pyloader.run.options import RunOptions
from pyloader.run.packed import log_fill, mean_tokens, packed_chunks, packing_of_chunks
from pyloader.run.ranks import check_same_version, counts_of
from pyloader.run.thread_counts import ThreadCounts, first_counts
from pyloader.run.transient import waits_before_retries
from pyloader.shuffle import CutRule
from pyloader.thread_safety import is_thread_safe
from pyloader.world import resolve_world

__all__ = ["NUM_FETCHES", "in_version_of_state", "resolve"]

_log = logging.getLogger("pyloader")

NUM_FETCHES = 8  # chunks of a store at the same time


def resolve(given: LoaderArguments, *, version: int | None = None) -> LoaderOptions:
    """Fill in what the options of a DataLoader leave open, and check what depends on others or on the chunks.

    Args:
      given: The options.
      version: The version of the chunks; None is what `given` says.

    Raises:
      TypeError, ValueError, DataDirError, ManifestError: as DataLoader says.
    """
    if (mixture := mixture_of(given)) is not None:
        return _resolve_mixture(given, mixture, _given_versions(given))
    if given.data_dir is None or isinstance(given.data_dir, Mapping):
        raise TypeError("DataLoader needs data_dir=: a directory of chunks, a glob pattern, or a list of files")
    number = of_source(given.data_version, "") if version is None else version
    chunks = list_chunks(given.data_dir, _store_options(given), version=number)
    reader, nulls = chosen_reader(given, of_source(given.datareader, ""), chunks)
    packing, packed_fill = given.pack, None
    if packing is not None:
        chunks, counts = packed_chunks(chunks, reader, packing)
        packed_fill = counts.fill(packing)
        log_fill(counts, packing)
    if given.bucket_by is not None:
        _check_buckets(given, chunks)
    seed = checked_integer("seed", reader.seed if given.seed is None else given.seed, at_least=0)
    batch_size = reader.batch_size if given.batch_size is None else given.batch_size
    batch_size = checked_integer("batch_size", batch_size, at_least=1, at_most=MOST)
    world, world_source = resolve_world(given.world)
    shuffle = "all" if given.shuffle else "rows" if reader.shuffle else "none"
    order = Order(
        seed=seed,
        shuffle=shuffle,
        shuffle_window=_window(of_source(given.shuffle_window, ""), shuffle),
        batch_size=batch_size * world.size,
        last_batch=given.last_batch,
        num_streams=1,
        fingerprint=chunks.fingerprint,
        packing="" if packing is None else packing_of_chunks(packing, chunks),
        bucket_by=given.bucket_by or "",
    )
    run = _run(given, chunks, reader, nulls, order, batch_size, packed_fill)
    options = LoaderOptions(given=given, run=run, order=order, world=world, world_source=world_source)
    # Only now is it known how many streams there are: as many as ranks, unless `world` says more.
    options = options.with_streams(world.num_streams or world.size)
    if version is None:  # else a state chose it, the same on all ranks
        check_same_version(chunks, order, world, world_source)
    if run.audited:
        options.all_streams("an audit needs to know what an epoch holds")
    return options


def _resolve_mixture(given: LoaderArguments, mixture: Mixture, versions: Mapping[str, int]) -> MixtureOptions:
    """Fill in what the options of a DataLoader of several sources leave open.

    Args:
      given: The options.
      mixture: The sources.
      versions: The versions of the sources' chunks; of those that are not named, the newest.

    Raises:
      TypeError, ValueError, DataDirError, ManifestError: as DataLoader says.
    """
    of_sources, parts, num_tokens = {}, {}, list[int]()
    for name in sorted(mixture.data_dir):
        chunks = list_chunks(mixture.data_dir[name], _store_options(given), version=versions.get(name))
        counts_of(chunks, "a mixture needs it to know how much each source has")
        parts[name] = chosen_reader(given, of_source(given.datareader, name), chunks)
        if given.pack is not None:
            chunks, counts = packed_chunks(chunks, parts[name][0], given.pack)
            num_tokens.append(counts.num_tokens)
        if not counts_of(chunks, "a mixture needs it").sum():
            raise DataDirError(chunks.place, f"is the source {name!r}, and has no samples.", "Leave it out")
        of_sources[name] = chunks
    check_alike(of_sources, given)
    all_chunks, readers = mixed_chunks(of_sources), [reader for reader, _ in parts.values()]
    world, world_source = resolve_world(given.world)
    seed = checked_integer("seed", readers[0].seed if given.seed is None else given.seed, at_least=0)
    batch_size = readers[0].batch_size if given.batch_size is None else given.batch_size
    batch_size = checked_integer("batch_size", batch_size, at_least=1, at_most=MOST)
    order = Order(
        seed=seed,
        shuffle="all" if given.shuffle else "rows" if readers[0].shuffle else "none",
        shuffle_window=1,  # each source has one of its own
        batch_size=batch_size * world.size,
        last_batch=given.last_batch,
        num_streams=1,
        fingerprint="",  # the same
        packing="" if given.pack is None else packing_in_order(given.pack, ""),
        mixture=mixture.on_exhausted or "",
    )
    rows = [int(counts_of(own, "a mixture needs it").sum()) for own in of_sources.values()]
    packed_fill = None if given.pack is None else sum(num_tokens) / (sum(rows) * given.pack.length)
    run = _run(given, all_chunks, *next(iter(parts.values())), order, batch_size, packed_fill)
    datasets = tuple(given.dataset.get(name) for name in mixture.data_dir) if isinstance(given.dataset, Mapping) else ()
    run = replace(
        run,
        of_sources=tuple(parts.values()),
        datasets=datasets,
        loss_mask=loss_mask_of(of_sources, given),
        with_source=mixture.with_source,
    )
    tokens = [Fraction(1)] * len(of_sources)
    if mixture.weight_by == "tokens":
        if given.pack is None and not all(_has_tokens(own) for own in of_sources.values()):
            raise ValueError('weight_by="tokens" counts the tokens of packed rows, pack=..., or a column "tokens"')
        tokens = [mean_tokens(chunks, parts[name][0], given.pack) for name, chunks in of_sources.items()]
    options = MixtureOptions(
        given=given,
        run=run,
        order=order,
        world=world,
        world_source=world_source,
        mixture=mixture,
        tokens=tuple(num_tokens or [0] * len(of_sources)),
        shares=shares_of(mixture, all_chunks.labels, rows, tokens),
        fingerprints=tuple(
            own.fingerprint
            + ("" if given.pack is None else f"-{packing_of_chunks(given.pack, own).partition('; ')[2]}")
            for own in of_sources.values()
        ),
    ).with_streams(world.num_streams or world.size)
    check_same_version(all_chunks, order, world, world_source)
    return options


def _has_tokens(chunks: ChunkList) -> bool:
    return any(spec.name == "tokens" for spec in chunks.known_columns)


def in_version_of_state(options: LoaderOptions, state: Any) -> LoaderOptions:
    """Return options with the chunks in the version that `state` was saved on; the same, where there is none.

    Raises:
      StateError: that version has ended, or the loader was told to read another.
    """
    chunks = options.run.chunks
    if isinstance(options, MixtureOptions):
        return _mixture_in_versions_of_state(options, state)
    if not isinstance(state, Mapping) or not isinstance(fingerprint := state.get("fingerprint"), str):
        return options
    number = data_version_in_state(state)
    try:
        found = in_version_of(chunks, fingerprint, number)
    except ManifestError as exc:
        raise StateError(f"the state was saved on other chunks than the newest. {exc}") from exc
    if found is None or found.data_version == chunks.data_version:
        return options
    if options.given.data_version is not None:
        what = f"the state was saved on version {found.data_version} of the chunks; "
        what += f"this loader has data_version={options.given.data_version}."
        raise StateError(what, "Leave data_version out: then the state chooses it")
    newest = None if found.newest is None else found.newest.version_number
    _log.info(
        "%s: going on with version %s, which the state was saved on; the newest is %s",
        found.root, found.data_version, newest,
    )  # fmt: skip
    return resolve(options.given, version=found.data_version)


def _mixture_in_versions_of_state(options: MixtureOptions, state: Any) -> MixtureOptions:
    if not isinstance(state, Mapping) or "sources" not in state:
        return options
    saved, said, given = fingerprints_in_state(state), data_versions_in_state(state), _given_versions(options.given)
    versions = dict[str, int]()
    for name, chunks in zip(options.chunks.labels, options.chunks.of_sources, strict=True):
        if saved.get(name, chunks.fingerprint) == chunks.fingerprint:
            continue
        try:
            found = in_version_of(chunks, saved[name], said.get(name))
        except ManifestError as exc:
            raise StateError(f"the state was saved on other chunks of {name!r} than the newest. {exc}") from exc
        if found is not None:
            versions[name] = found.data_version or 1
            if name in given:
                what = f"the state was saved on version {versions[name]} of the chunks of {name!r}; "
                what += f"this loader has data_version={options.given.data_version!r}."
                raise StateError(what, f"Leave {name!r} out of data_version: then the state chooses it")
            what = "%s: going on with version %s of %r, which the state was saved on"
            _log.info(what, found.root, versions[name], name)
    return _resolve_mixture(options.given, options.mixture, {**given, **versions}) if versions else options


def _given_versions(given: LoaderArguments) -> Mapping[str, int]:
    return given.data_version if isinstance(given.data_version, Mapping) else {}


def _store_options(given: LoaderArguments) -> StoreOptions:
    return StoreOptions(
        cache_dir=None if given.cache_dir is None else os.fspath(given.cache_dir),
        cache_bytes=None if given.cache_bytes is None else parse_bytes(given.cache_bytes),
        storage_options=given.storage_options,
        offline=bool(given.offline),
        verifies=given.verify != "never",
        called=called_at_once,
    )


def _register(chunks: ChunkList, threads: ThreadCounts) -> None:
    """Say to the cache what the loader needs at once, so that what it cannot hold is an error now.

    Raises:
      CacheError: it cannot.
    """
    if chunks.stored is not None:
        chunks.stored.register(num_fetches=NUM_FETCHES if threads.readers else 1, num_readers=max(1, threads.readers))


def _check_buckets(given: LoaderArguments, chunks: ChunkList) -> None:
    """Raise where rows cannot be sorted by length.

    Raises:
      ValueError: another option does not go with it.
      DataDirError: the chunks' counts are unknown.
    """
    if given.pack is not None:
        raise ValueError(
            "bucket_by= is for rows that are padded, and packed rows have one length: leave out one of both"
        )
    counts_of(chunks, "rows are sorted by length some steps at a time")


def _verification(chunks: ChunkList, mode: str) -> Verification | None:
    if not isinstance(chunks, MixedChunks):
        return verification_of(chunks, mode)
    of_sources = [verification_of(own, mode) for own in chunks.of_sources]
    found = tuple(each for each in of_sources if each is not None)
    return MixedVerification(chunks, found) if found else None


def _window(shuffle_window: int | None, shuffle: str) -> int:
    if shuffle_window is None:
        return SHUFFLE_WINDOW if shuffle == "all" else 1
    if shuffle != "all" and shuffle_window > 1:
        raise ValueError(f"shuffle_window={shuffle_window} needs shuffle=True, which mixes chunks and their rows")
    return shuffle_window


def _run(
    given: LoaderArguments,
    chunks: ChunkList,
    reader: DataReader,
    nulls: Nulls | None,
    order: Order,
    batch_size: int,
    packed_fill: float | None,
) -> RunOptions:
    """Return what runs are made of, for one stream: how many there are, and which are delivered here, comes later."""
    collator = NumpyDataCollator() if given.datacollator is None else given.datacollator
    arrays, convert, by_views = two_steps(collator)
    # A group of several batches can be sliced when nothing but making plain arrays is done to it.
    slices = (
        given.dataset is None
        and given.pack is None
        and given.bucket_by is None
        and type(arrays) is NumpyDataCollator
        and not arrays.dtypes
        and by_views
    )
    num_rows = len(chunks) if chunks.counts is None else int(chunks.counts.sum())
    max_skipped, max_skipped_rows = checked_max_skipped(
        given.max_skipped, [len(chunks), num_rows], of="chunks and rows"
    )
    check_workers(given.worker_kind, given.num_workers, given.num_readers)
    threads = first_counts(given.num_readers, given.num_workers, worker_kind=given.worker_kind)
    may_change = given.worker_kind == "thread" and given.num_workers != 0
    audited = given.audit_dir is not None
    _register(chunks, threads)
    return RunOptions(
        chunks=chunks,
        reader=reader,
        nulls=nulls,
        packing=given.pack,
        packed_fill=packed_fill,
        dataset=None if isinstance(given.dataset, Mapping) else given.dataset,
        collator=arrays,
        convert=convert,
        streams=Streams.of(order, chunks.counts, len(chunks), range(1)),
        rule=CutRule(
            batch_size=batch_size, last_batch=order.last_batch, several=slices, sorts=given.bucket_by is not None
        ),
        max_queue_size=given.max_queue_size,
        max_bytes=parse_memory("max_bytes", given.max_bytes),
        row_bytes=chunks.row_bytes if given.datareader is None and nulls is None else None,
        num_readers=threads.readers,
        num_workers=threads.workers,
        # Of a store chunks are fetched by other threads; and what is being read takes room in the cache.
        finds_readers=may_change and given.num_readers == AUTO and chunks.stored is None,
        finds_workers=may_change and given.num_workers == AUTO and is_thread_safe(given.datacollator),
        worker_kind=given.worker_kind,
        verification=_verification(chunks, given.verify),
        retry_waits=waits_before_retries(given.read_retries),
        max_skipped=max_skipped,
        max_skipped_rows=max_skipped_rows,
        traced=max_skipped_rows > 0 or audited,
        audited=audited,
        seed=order.seed,
        copy=bool(given.copy),
        stall_timeout_seconds=given.stall_timeout_seconds,
    )
