"""Mixture arguments: the mixture that a DataLoader was given, in one of two forms, and what does not go with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from pyloader.columns import ColumnSpec, difference
from pyloader.errors import DataDirError
from pyloader.files import ChunkList
from pyloader.mixture import Mixture
from pyloader.packing import LOSS_MASK
from pyloader.run.arguments import LoaderArguments

__all__ = ["check_alike", "loss_mask_of", "mixture_of", "of_source"]

T = TypeVar("T")

_BY_SOURCE = ("datareader", "dataset", "shuffle_window", "data_version")  # options that may be dicts


def mixture_of(given: LoaderArguments) -> Mixture | None:
    """Return the mixture that was given; None where there is one source.

    Raises:
      TypeError, ValueError: options that do not go together.
    """
    usual = {"weights": None, "weight_by": "samples", "on_exhausted": None, "num_steps": None, "with_source": False}
    told = [name for name, value in usual.items() if getattr(given, name) != value]
    mixture = given.mixture
    if mixture is not None:
        if beside := [*(["data_dir"] if given.data_dir is not None else []), *told]:
            raise TypeError(f"{beside[0]}= is part of the mixture: give it to Mixture(...), or leave mixture= out")
    elif isinstance(given.data_dir, Mapping):
        mixture = Mixture(
            data_dir=given.data_dir,
            weights=given.weights,
            weight_by=given.weight_by,
            on_exhausted=given.on_exhausted,
            num_steps=given.num_steps,
            with_source=given.with_source,
        )
    else:
        told += [name for name in _BY_SOURCE if isinstance(getattr(given, name), Mapping)]
        if told:
            raise ValueError(f"{told[0]}={getattr(given, told[0])!r} is for a mixture: data_dir={{name: where, ...}}")
        return None
    _check(given, mixture)
    return mixture


def of_source(value: T | Mapping[str, T | None] | Mapping[str, T] | None, name: str) -> T | None:
    """Return what one source has of an option that may be a dict by source."""
    return value.get(name) if isinstance(value, Mapping) else value


def check_alike(of_sources: Mapping[str, ChunkList], given: LoaderArguments) -> None:
    """Raise where the manifests of two sources say that their columns differ.

    Raises:
      DataDirError: they do.
    """
    (first, chunks), *others = of_sources.items()
    known = chunks.known_columns if given.datareader is None and not isinstance(given.dataset, Mapping) else ()
    for name, own in others:
        mine, theirs = (_joined(specs, given) for specs in (own.known_columns, known))
        if mine and theirs and (differs := difference(mine, theirs)):
            what = f"is the source {name!r}, and {differs} as {first!r} has."
            hint = "Split both into the same columns: pyloader split --columns, or --encode"
            if given.pack is not None and (unlike := {spec.name for spec in mine} ^ {spec.name for spec in theirs}):
                drop = tuple(sorted({*given.pack.drop, *unlike}))
                hint = f"Leave out what not all have: pack={replace(given.pack, drop=drop)!r}"
            raise DataDirError(own.place, what, hint)


def loss_mask_of(of_sources: Mapping[str, ChunkList], given: LoaderArguments) -> str:
    """Return the dtype of the loss mask that documents of some source bring to be packed; "" where none does."""
    if given.pack is None or LOSS_MASK in given.pack.drop:
        return ""
    specs = (spec for chunks in of_sources.values() for spec in chunks.known_columns)
    return next((spec.dtype or "|b1" for spec in specs if spec.name == LOSS_MASK), "")


def _joined(specs: Sequence[ColumnSpec], given: LoaderArguments) -> list[ColumnSpec]:
    """Return what must be alike: all columns; of packed documents their names, and which numbers tokens are.

    A loss mask is not among them: where a source has none, all of its tokens are learned.
    """
    pack = given.pack
    if pack is None:
        return list(specs)
    left_out = {*pack.drop, LOSS_MASK}
    # Lists of integers become rows of int64.  What the lists of other columns hold is unknown.
    return [
        ColumnSpec(spec.name, "ragged", (spec.dtype or "<i8") if spec.name == pack.column else "")
        for spec in specs
        if spec.name not in left_out
    ]


def _check(given: LoaderArguments, mixture: Mixture) -> None:
    for name in _BY_SOURCE:
        by_source = getattr(given, name)
        if isinstance(by_source, Mapping) and (stray := by_source.keys() - mixture.data_dir.keys()):
            raise ValueError(f"{name} names {min(stray)!r}, which is no source. There are {list(mixture.data_dir)}")
    if given.num_epochs != 1:
        raise ValueError(
            f"num_epochs={given.num_epochs} says nothing of a mixture, whose sources end at different steps. "
            "Write num_steps=, which sets its end"
        )
    if given.bucket_by is not None:
        raise ValueError("bucket_by= sorts the rows of one source, and a mixture has several: leave it out")
    if given.data_version is not None and not isinstance(given.data_version, Mapping):
        name, version = next(iter(mixture.data_dir)), given.data_version
        raise ValueError(f"data_version={version} says not of which source: data_version={{{name!r}: {version}}}")
