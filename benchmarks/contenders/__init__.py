"""The contenders: who they are, and in which configurations they run.  What each does is in its module here:

    prepare(data)              puts the data into the contender's own form, once; where there is such a form
    epochs(data, **options)    yields one epoch after another, each an iterable of (values, ids) as it delivers them

This table imports none of them, so that it can be read without what they need.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

__all__ = ["CONTENDERS", "Contender"]

Options: TypeAlias = "dict[str, Any]"


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One contender.

    Attributes:
      name: What the tables call it.
      packages: The distributions it needs; without them it is skipped.
      remark: How it is used, and why so.
      cases: Workload -> its configurations, the best first: it was chosen from the others, which --all-cases runs too.
      num_measured: Workload -> how many of them are always run, where that is not one.
      most_samples: Workload -> the most samples it is given, where its form of all of them would take very long to
        make; its rate does not depend on how many there are.
      apart: A version that cannot be in one environment with the others is in a folder of this name in it, which
        scripts/bench makes; only its own processes import from there.
    """

    name: str
    packages: Sequence[str]
    remark: str
    cases: Mapping[str, Sequence[Options]]
    num_measured: Mapping[str, int] = field(default_factory=dict)
    most_samples: Mapping[str, int] = field(default_factory=dict)
    apart: str = ""

    @property
    def folder(self) -> Path | None:
        """The folder that `apart` names."""
        return Path(sys.prefix, self.apart) if self.apart else None

    def measured(self, workload: str, *, all_cases: bool) -> Sequence[Options]:
        """Return the configurations to run."""
        return self.cases[workload][: None if all_cases else self.num_measured.get(workload, 1)]


_ALL = dict.fromkeys(("dense", "small", "text", "tokens", "dense cold"), 99)


def _workers(*workloads: str, best: int, other: int, option: str = "num_workers") -> dict[str, list[Options]]:
    return {workload: [{option: best}, {option: other}] for workload in workloads}


_OUR_WINDOWS: list[Options] = [
    {"window": window, "mmap": mmap, **threads}
    for window, mmap in ((1, True), (1, False), (4, False), (8, False))
    for threads in ({"num_workers": 0}, {"num_workers": 0, "num_readers": 1}, {"num_workers": 1}, {"num_workers": 2})
]
_OUR_PACKED: list[Options] = [
    {"window": 1, "form": form, "num_workers": num_workers, "num_readers": num_readers}
    for form in ("npz", "npy.zst", "arrayrecord")
    for num_workers, num_readers in ((0, 0), (1, 1), (1, 2), (2, 2))
]
_AS_IT_COMES: Options = {"window": 4, "mmap": False, "auto": True}  # the defaults: numbers of threads are found
_LIMITS: list[Options] = [{"window": window, "num_threads": num_threads} for window in (1, 8) for num_threads in (1, 2)]
_TORCH_ROWS: list[Options] = [
    {"fetch": "__getitems__", "num_workers": 0},
    {"fetch": "__getitem__", "num_workers": 0},
    {"fetch": "__getitems__", "num_workers": 2},
    {"fetch": "__getitem__", "num_workers": 2},
]
_GRAIN_RECORDS: list[Options] = [
    {"source": "ArrayRecord", "num_threads": 0, "num_workers": 2},
    {"source": "ArrayRecord", "num_threads": 16},
    {"source": "ArrayRecord", "num_threads": 0},
]
_GRAIN_ROWS: list[Options] = [
    {"source": "memmap", "num_threads": 0},
    {"source": "memmap", "num_threads": 16},
    {"source": "memmap", "num_threads": 0, "num_workers": 2},
]

CONTENDERS = {
    "bare_loop": Contender(
        name="bare loop",
        packages=("numpy",),
        remark="NumPy alone, one thread: rows of a memory-mapped array by a permutation. Text: parse, encode, collate, "
        "in file order",
        cases={"dense": [{}], "small": [{}], "text": [{}], "tokens": [{}, {"as_nanogpt": True}], "dense cold": [{}]},
        num_measured=_ALL,
    ),
    "pyloader_chunks": Contender(
        name="pyloader",
        packages=("pyloader-stream",),
        remark="`.columns`, `.jsonl` and `.bin` chunks unless another form is named, read unless mapped; "
        "max_queue_size is 4 at window 1, else 10",
        cases={
            "dense": [*_OUR_WINDOWS, *_OUR_PACKED, _AS_IT_COMES, {"window": 1, "form": "npy.zst", "auto": True}],
            "small": [*_OUR_WINDOWS, _AS_IT_COMES],
            "text": [
                *({"num_workers": num_workers} for num_workers in (0, 1, 2)),
                *(
                    {"num_workers": num_workers, "worker_kind": "process", **form}
                    for form in ({}, {"form": "jsonl.zst"})
                    for num_workers in (2, 3)
                ),
                {"num_workers": 0, "form": "jsonl.zst"},
                {"num_workers": 0, "strings": True},
                {"num_workers": 1, "strings": True},
                {"auto": True, "strings": True},
            ],
            "tokens": [*_OUR_WINDOWS, _AS_IT_COMES],
            "dense cold": [{"window": window, "num_workers": workers} for window in (1, 4) for workers in (1, 2)],
        },
        num_measured=_ALL,
    ),
    "limits": Contender(
        name="limit",
        packages=("pyloader-stream",),
        remark="only what must be done: window 1 or 8: chunks are read, so many into one array, and its rows taken in "
        "random order, 2 MiB at a time, labels left out; the others: nothing is shuffled; none makes batches",
        cases={
            "dense": [*_LIMITS, {"only": "read_all of ArrayRecord"}, {"only": "zstd decompression on 2 threads"}],
            "small": _LIMITS,
            "tokens": _LIMITS,
            "dense cold": [{"only": "reading as dd does"}],
            "text": [{"only": "JSON lines to strings"}],
        },
        num_measured=_ALL,
    ),
    "torch_dataloader": Contender(
        name="torch DataLoader",
        packages=("torch",),
        remark="over memory-mapped .npy, tokens as int64; with 2 workers, batches of arrays cost more to send than to "
        "make. Text: an IterableDataset whose workers share the files, in file order",
        cases={
            "dense": _TORCH_ROWS,
            "small": _TORCH_ROWS,
            "tokens": _TORCH_ROWS,
            "text": [{"fetch": "lines", "num_workers": 2}, {"fetch": "lines", "num_workers": 0}],
            "dense cold": [{"fetch": "__getitems__", "num_workers": 0}, {"fetch": "__getitems__", "num_workers": 2}],
        },
        num_measured={"dense": 2, "small": 2, "tokens": 2},
    ),
    "torchdata_stateful": Contender(
        name="torchdata StatefulDataLoader",
        packages=("torchdata", "torch"),
        remark="over the same datasets as torch DataLoader",
        cases={
            **{name: [_TORCH_ROWS[0], _TORCH_ROWS[2]] for name in ("dense", "small", "tokens")},
            "text": [{"fetch": "lines", "num_workers": 2}, {"fetch": "lines", "num_workers": 0}],
        },
    ),
    "grain_dataset": Contender(
        name="grain",
        packages=("grain",),
        remark="MapDataset with its shuffle, which is a whole one; ArrayRecord in groups of 1, as grain asks for",
        cases={
            "dense": [_GRAIN_ROWS[0], *_GRAIN_RECORDS, *_GRAIN_ROWS[1:]],
            "small": [_GRAIN_ROWS[0], *_GRAIN_RECORDS, *_GRAIN_ROWS[1:]],
            "tokens": _GRAIN_ROWS,
            "text": _GRAIN_RECORDS,
        },
        num_measured={"dense": 2, "small": 2},
        most_samples={"small": 500_000},
    ),
    "litdata_streaming": Contender(
        name="litdata",
        packages=("litdata", "torch"),
        remark="optimised into chunks of 64 MB, local, shuffle=True; tokens by its TokensLoader",
        cases=_workers("dense", "small", "tokens", "dense cold", best=0, other=2),
        most_samples={"small": 500_000},
    ),
    "mosaic_streaming": Contender(
        name="MosaicML streaming",
        packages=("mosaicml-streaming", "torch"),
        remark="MDS shards of 64 MiB, not compressed, ndarray columns of fixed shape, local; shuffle=True (py1e)",
        cases=_workers("dense", "small", "tokens", best=2, other=0),
        most_samples={"small": 500_000},
    ),
    "webdataset_tar": Contender(
        name="webdataset",
        packages=("webdataset", "torch"),
        remark="tar shards of raw bytes, a buffer of 5,000 samples, batches made in the workers",
        cases=_workers("dense", "small", best=2, other=0),
        most_samples={"dense": 100_000, "small": 100_000},
    ),
    "tf_data": Contender(
        name="tf.data",
        packages=("tensorflow-cpu",),
        remark="FixedLengthRecordDataset over shuffled files, a buffer of 4 chunks' rows, batch, decode_raw, prefetch",
        cases=_workers("dense", "small", "tokens", "dense cold", best=4, other=1, option="buffer_chunks"),
        num_measured={},
    ),
    "huggingface_datasets": Contender(
        name="Hugging Face datasets",
        packages=("datasets",),
        remark="map: shuffled by indices; iterable: 16 shards and a buffer of 10,000 samples; with_format('numpy')",
        cases={
            "dense": [{"style": "map"}, {"style": "iterable"}],
            "small": [{"style": "map"}, {"style": "iterable"}],
            "text": [{"style": "map"}, {"style": "iterable"}],
        },
        most_samples={"small": 500_000},
    ),
    "spdl_pipeline": Contender(
        name="SPDL",
        packages=("spdl",),
        remark="an item is a batch: gathered from memory-mapped arrays; text: lines of a file, in file order",
        cases=_workers("dense", "small", "tokens", "text", "dense cold", best=2, other=1, option="num_threads"),
    ),
    "loaderx_017": Contender(
        name="loaderx 0.1.7",
        packages=("loaderx",),
        remark="its defaults over memory-mapped .npy; endless, so an epoch is as many batches as one would have",
        cases={"dense": [{}], "small": [{}], "dense cold": [{}]},
    ),
    "loaderx_2819": Contender(
        name="loaderx 2.8.19",
        packages=("ml_dtypes",),
        apart="loaderx-2.8.19",
        remark="zrecord stores, raw, on the CPU; text: the lines' bytes, parsed and encoded in `transform`; endless, "
        "CYCLIC, which leaves out what would be an epoch's short batch",
        cases=_workers("dense", "small", "text", "tokens", "dense cold", best=0, other=4),
    ),
    "cyreal_021": Contender(
        name="cyreal 0.2.1",
        packages=("cyreal", "jax"),
        remark="ArraySource, which holds everything in memory; `next` compiled by jax.jit; the CPU is the device",
        cases={"dense": [{}], "small": [{}]},
    ),
    "loadax_021": Contender(
        name="loadax 0.2.1",
        packages=("loadax", "jax"),
        remark="a dataset over memory-mapped .npy, ShuffledDataset, np.stack as the batcher, 2 batches prefetched",
        cases=_workers("dense", "small", best=2, other=1),
        most_samples={"small": 500_000},
    ),
}
