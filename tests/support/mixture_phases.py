"""Mixtures by the draw: in phases, between which weights change and sources are added; on ranks that are killed."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from mixed_cases import weights_of
from mixed_sources import mixed_ranks, step_of_all, steps_of_all

from pyloader import ChunkWriter, DataLoader, Dataset, Packing
from pyloader.plan import Shares
from pyloader.run.mixing import MixtureOptions

__all__ = [
    "Batch",
    "Case",
    "Phase",
    "Seen",
    "check_killed",
    "held_at",
    "held_by",
    "held_by_source",
    "mean_tokens",
    "undisturbed",
    "write_documents",
]

Batch: TypeAlias = "dict[str, np.ndarray]"  # over all ranks

# rows and rows a chunk of each source; a row is a document
_SIZES = {
    "web": (151, 30), "code": (90, 9), "math": (40, 40), "wiki": (23, 2),
    "tiny": (3, 3), "uneven": (64, 11), "news": (80, 16), "laws": (30, 4),
}  # fmt: skip
# tokens of each document; some have none
_LENGTHS = {
    name: np.random.default_rng(place).integers(0 if place % 3 else 1, 6 + 5 * place, num_rows)
    for place, (name, (num_rows, _)) in enumerate(_SIZES.items())
}
_FAR = 1_000_000  # of source i row j is x = i * _FAR + j, and its tokens are numbers from i * _FAR on


def write_documents(directory: Path) -> dict[str, Path]:
    """Write the sources, and return where each is."""
    for place, (name, (num_rows, chunk_samples)) in enumerate(_SIZES.items()):
        with ChunkWriter(directory / name, chunk_samples=chunk_samples, format="columns") as writer:
            for row in range(num_rows):
                writer.write({"x": place * _FAR + row, "tokens": _tokens(name, row)})
    return {name: directory / name for name in _SIZES}


def held_by(batch: Batch) -> list[list[int]]:
    """Return what each row holds: the number of a row, or the tokens of a packed one."""
    if "x" in batch:
        return [[x] for x in batch["x"].tolist()]
    return [
        tokens[:count]
        for tokens, count in zip(batch["tokens"].tolist(), (batch["segment_ids"] > 0).sum(1), strict=True)
    ]


def held_by_source(name: str, is_packed: bool) -> list[int]:
    """Return what all rows of a source hold together."""
    num_rows, _ = _SIZES[name]
    if not is_packed:
        return [list(_SIZES).index(name) * _FAR + row for row in range(num_rows)]
    return [token for row in range(num_rows) for token in _tokens(name, row)]


def held_at(name: str, chunk: str, row: int, start: int = 0, stop: int | None = None) -> list[int]:
    """Return what a row that `locate` names holds; of a packed one a piece."""
    row += int(chunk[6:11]) * _SIZES[name][1]  # "chunk-00012.columns"
    return [list(_SIZES).index(name) * _FAR + row] if stop is None else _tokens(name, row)[start:stop]


def mean_tokens(name: str, num_rows: int) -> float:
    """Return how many tokens a row of a source has on the average."""
    return int(_LENGTHS[name].sum()) / num_rows


def _tokens(name: str, row: int) -> list[int]:
    first = list(_SIZES).index(name) * _FAR + int(_LENGTHS[name][:row].sum())
    return list(range(first, first + int(_LENGTHS[name][row])))


class _Keyed(Dataset):
    """What says which rows these are, and their keys."""

    def batch_encode(self, columns: dict[str, Any], keys: np.ndarray) -> dict[str, Any]:
        wanted = ("tokens", "segment_ids") if "segment_ids" in columns else ("x",)
        return {**{name: columns[name] for name in wanted}, "key": keys}


@dataclass
class Phase:
    """What is read with the same sources and weights, from one step on."""

    names: list[str]
    weights: Any
    until: int | None  # the step at which the next one begins; None where this is the last
    num_steps: int | None
    begins_pass: bool = False  # whether it begins after the end, and not where the one before it was left


@dataclass
class Case:
    """A mixture, how it is read, and on how many ranks."""

    chance: random.Random
    places: dict[str, Path]
    num_streams: int
    share: int
    phases: list[Phase]
    packing: Packing | None
    options: dict[str, Any]
    is_alone: bool = False  # whether there is one source, and no mixture

    @classmethod
    def drawn(cls, seed: int, places: dict[str, Path]) -> Case:
        """Draw one."""
        chance = random.Random(seed)
        num_streams = chance.choice([1, 1, 2, 3, 4, 6, 12])
        rule = chance.choice(["stop", "drop", "repeat"])
        packing = None
        if chance.random() < 0.5:
            most = chance.choice([None, None, 1, 3])
            packing = Packing(length=chance.choice([5, 16, 40]), drop=("x",), max_documents=most)
        large = [name for name in places if rule == "repeat" or _SIZES[name][0] >= 23]
        names = chance.sample(large, chance.randint(1, len(large)))
        phases, until = [], 0
        for left in reversed(range(chance.choice([1, 1, 2, 3]))):
            until += chance.randint(1, 12)
            bounded = rule == "repeat" or chance.random() < 0.3
            num_steps = until + chance.randint(0, 40) if bounded else None
            phases.append(Phase(list(names), weights_of(chance, names), until if left else None, num_steps))
            others = [name for name in large if name not in names]
            names += chance.sample(others, min(len(others), chance.choice([0, 0, 1, 2])))
        if rule != "repeat" and chance.random() < 0.25:
            phases.append(Phase(list(phases[-1].names), weights_of(chance, phases[-1].names), None, None, True))
        shuffle = chance.random() < 0.7
        options: dict[str, Any] = {
            "on_exhausted": rule,
            "last_batch": chance.choice(["drop", "pad", "wrap", *(["keep"] if num_streams == 1 else [])]),
            "shuffle": shuffle,
            "seed": chance.randrange(2**40),
        }
        if any(phase.weights is not None for phase in phases) and chance.random() < 0.3:
            options["weight_by"] = "tokens"
        if shuffle and chance.random() < 0.5:
            options["shuffle_window"] = chance.choice([1, 3, {name: chance.randint(1, 5) for name in phases[0].names}])
        if chance.random() < 0.5:
            options["max_queue_size"] = 1000
        return cls(chance, places, num_streams, chance.choice([1, 2, 3, 7]), phases, packing, options)

    @classmethod
    def drawn_alone(cls, seed: int, places: dict[str, Path]) -> Case:
        """Draw one source that is no mixture, of documents that are packed, or in batches of about one length."""
        case = cls.drawn(seed, places)
        chance, rule = case.chance, case.options["last_batch"]
        name = chance.choice([name for name, (num_rows, _) in _SIZES.items() if num_rows >= 23])
        options = {name: case.options[name] for name in ("shuffle", "seed")} | {
            "last_batch": rule,
            "max_queue_size": 10_000,
        }
        if case.packing is None:
            options["bucket_by"] = "tokens"
        options["num_epochs"] = chance.randint(1, 3)
        return replace(case, phases=[Phase([name], None, None, None)], options=options, is_alone=True)

    @contextmanager
    def ranks(self, phase: Phase, size: int, **changed: Any) -> Iterator[list[DataLoader]]:
        """Give the loader of each of so many ranks."""
        sources = {name: self.places[name] for name in phase.names}
        options = {"dataset": _Keyed(), "pack": self.packing, **self.options, **changed}
        options |= {"data_dir": sources, "weights": phase.weights, "num_steps": phase.num_steps}
        if phase.weights is None:
            options.pop("weight_by", None)
        if self.is_alone:
            options |= {"data_dir": sources[phase.names[0]], "with_source": False}
        with mixed_ranks(size, self.num_streams, share=self.share, **options) as loaders:
            yield loaders


@dataclass
class Seen:
    """What a phase comes to on one rank without a disturbance."""

    phase: Phase
    first: int  # the step that it begins at
    before: int  # how many steps the passes before have had
    batches: list[Batch]
    is_over: bool  # whether it came to its end, and no other phase begins before that
    located: dict[int, list[Any]]  # what `locate` says of some of its steps
    shares: Shares | None  # of the sources sorted by name; None where there is no mixture
    num_rows: dict[str, int]  # the rows of each source, packed ones where they are packed
    left_out: dict[str, int]  # of each source of a mixture

    @property
    def stop(self) -> int:
        """The step after its last."""
        return self.first + len(self.batches)


def undisturbed(case: Case) -> list[Seen]:
    """Return what each phase comes to."""
    found, state, first, before = list[Seen](), None, 0, 0
    for phase in case.phases:
        if found and found[-1].is_over != phase.begins_pass:
            continue  # it came to its end before
        before = first if phase.begins_pass else before
        with case.ranks(phase, 1) as [loader]:
            if state is not None:
                loader.load_state_dict(state)
            most = 10_000 if phase.until is None else phase.until - first
            batches = steps_of_all([loader], most)
            is_over = len(batches) < most
            located = case.chance.sample(range(first, first + len(batches)), min(3, len(batches)))
            options = loader._options
            shares, num_rows = None, {phase.names[0]: int(options.run.chunks.counts.sum())}
            if isinstance(options, MixtureOptions):
                shares, num_rows = options.shares, {source.name: source.num_rows for source in options.streams.sources}
            seen = Seen(
                phase,
                first,
                before,
                batches,
                is_over,
                {step: loader.locate(step) for step in located},
                shares,
                num_rows,
                {name: of.left_out for name, of in loader.stats().sources.items()},
            )
            assert not is_over or len(loader) == seen.stop - before
            state, first = loader.state_dict(), seen.stop
        found.append(seen)
    return found


def check_killed(case: Case, seen: list[Seen]) -> None:
    """Assert that the same batches come on any ranks that are killed and go on from their latest checkpoint."""
    sizes = [size for size in (1, 2, 3, 4) if case.num_streams % size == 0]
    state: dict[str, Any] | None = None
    for of_phase in seen:
        at, is_done = of_phase.first, False
        while not is_done:
            begun, every = at, case.chance.choice([1, 1, 3])
            stop = min(begun + case.chance.choice([1, 3, 20, 1000]), of_phase.stop)
            workers = case.chance.choice([0, 0, 0, 0, 0, 1, 2])
            with case.ranks(of_phase.phase, case.chance.choice(sizes), num_workers=workers) as loaders:
                if state is not None:
                    for loader in loaders:
                        loader.load_state_dict(state)
                for step in range(begun, stop):
                    np.testing.assert_equal(step_of_all(loaders), of_phase.batches[step - of_phase.first])
                    if (step - begun) % every == 0:
                        state, at = _state_of(loaders), step + 1
                if is_done := stop == of_phase.stop:
                    assert not of_phase.is_over or step_of_all(loaders) is None, "there are more steps than on one rank"
                    state = _state_of(loaders)


def _state_of(loaders: list[DataLoader]) -> dict[str, Any]:
    texts = {json.dumps(loader.state_dict()) for loader in loaders}
    assert len(texts) == 1, "the states of two ranks differ"
    text = texts.pop()
    assert len(text) < 4096
    state: dict[str, Any] = json.loads(text)
    return state
