"""Laws 2, 3 and 4 for mixtures, on everything drawn at once: two cases, 20 with PYLOADER_ALL.

PYLOADER_CASES=1000 asks for as many, PYLOADER_CASES_SEED=0 for those of seed 0 and on; both want PYLOADER_ALL too.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain, groupby, pairwise
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from mixture_phases import (
    Batch,
    Case,
    Phase,
    Seen,
    check_killed,
    held_at,
    held_by,
    held_by_source,
    mean_tokens,
    undisturbed,
    write_documents,
)
from products import ALL, seeds

from pyloader.errors import DataDirError
from pyloader.plan import Shares

CASES = int(os.environ.get("PYLOADER_CASES", "20" if ALL else "6"))  # without PYLOADER_ALL a third of a slow test's
T = TypeVar("T")
FIRST = os.environ.get("PYLOADER_CASES_SEED")


def cases(share: int) -> Sequence[int]:
    """Return the seeds of one in `share` of the cases."""
    count = -(-CASES // share)
    return seeds(count) if FIRST is None else range(int(FIRST), int(FIRST) + count)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_documents(tmp_path_factory.mktemp("sources"))


@pytest.mark.slow
@pytest.mark.parametrize("seed", cases(1))
def test_any_ranks_kills_and_resumes_give_the_same_batches_each_source_its_share_and_every_row_once(
    seed: int, places: dict[str, Path]
) -> None:
    case = Case.drawn(seed, places)
    try:
        seen = undisturbed(case)
    except (ValueError, DataDirError) as exc:
        assert any(words in str(exc) for words in ("never come", "make no batch", "rows are too few for"))
        return
    check_killed(case, seen)
    for _, of_pass in groupby(seen, key=lambda of_phase: of_phase.before):
        delivered = Delivered(case)
        for of_phase in of_pass:
            delivered.check_phase(of_phase)
            num_rows = of_phase.num_rows
        delivered.check_once_an_epoch(num_rows)


@pytest.mark.slow
@pytest.mark.parametrize("seed", cases(2))
def test_any_ranks_kills_and_resumes_give_the_same_batches_of_one_source_packed_or_in_buckets(
    seed: int, places: dict[str, Path]
) -> None:
    case = Case.drawn_alone(seed, places)
    try:
        [seen] = undisturbed(case)
    except (ValueError, DataDirError) as exc:
        assert "make no batch" in str(exc)
        return
    check_killed(case, [seen])
    [(name, num_rows)] = seen.num_rows.items()
    borders = [stream * num_rows // case.num_streams for stream in range(case.num_streams + 1)]
    every, num_steps = sorted(held_by_source(name, case.packing is not None)), seen.stop // case.options["num_epochs"]
    for first in range(0, seen.stop, num_steps):
        good = list[list[int]]()
        for step, batch in enumerate(seen.batches[first : first + num_steps]):
            if (said := seen.located.get(first + step)) is not None:
                assert list(chain(*(held_at(name, *row) for row in said))) == list(chain(*held_by(batch)))
            for (start, stop), rows in zip(
                pairwise(borders), in_streams(held_by(batch), case.num_streams), strict=True
            ):
                good += rows[: stop - start - step * case.share]
        found = sorted(chain(*good))
        if case.options["last_batch"] == "drop":
            assert len(good) == num_steps * case.share * case.num_streams
            assert len(set(found)) == len(found) and set(found) <= set(every)
        else:
            assert found == every


@dataclass
class Delivered:
    """What has come of each source in each stream, and what should have, by fractions."""

    case: Case
    rows: Counter[str] = field(default_factory=Counter)  # of each source, in every stream alike
    held: dict[str, list[list[list[int]]]] = field(default_factory=dict)  # source -> stream -> row -> what it holds
    keys: list[np.ndarray] = field(default_factory=list)
    of: Any = None  # the sources and shares that count
    base: Counter[str] = field(default_factory=Counter)  # `rows` where they began to
    ideal: dict[str, Fraction] = field(default_factory=dict)  # what each source should have had since then

    def check_phase(self, seen: Seen) -> None:
        """Assert that the steps of a phase are what they should be."""
        phase = seen.phase
        names, rule, share = sorted(phase.names), self.case.options["on_exhausted"], self.case.share
        shares = seen.shares
        assert shares is not None
        self._check_weights(phase, shares, seen.num_rows)
        most = {name: seen.num_rows[name] // self.case.num_streams if rule != "repeat" else 2**62 for name in names}

        def unended() -> list[str]:
            return [name for name in names if rule != "drop" or self.rows[name] < most[name]]

        def num_left() -> int:
            ever = (name for at, name in enumerate(names) if any(weights[at] for weights in shares.weights))
            return sum(most[name] - self.rows[name] for name in ever)

        if (names, shares) != self.of:  # other weights: shares are counted from here on
            self.of, self.base, self.ideal = (names, shares), Counter(self.rows), dict.fromkeys(names, Fraction(0))
        left = unended()
        for step, batch in enumerate(seen.batches, start=seen.first):
            num_wanted = min(share, num_left()) if rule == "drop" else share
            self._take(phase, batch, num_wanted)
            if step in seen.located:
                said = [held_at(*row) for row in seen.located[step]]
                assert list(chain(*said)) == list(chain(*held_by(batch)))
            for name, fraction in zip(names, fractions_at(shares, step - seen.before, names, left), strict=True):
                self.ideal[name] += share * fraction
            assert all(self.rows[name] <= most[name] for name in names)
            if left == unended():
                assert all(abs(self.rows[name] - self.base[name] - self.ideal[name]) < 1 for name in names)
            else:  # and from here on
                self.base, self.ideal, left = Counter(self.rows), dict.fromkeys(names, Fraction(0)), unended()
        if seen.is_over and seen.stop - seen.before != phase.num_steps:
            assert rule == "stop" or num_left() < (share if self.case.options["last_batch"] == "drop" else 1)
            streams = self.case.num_streams
            assert all(of == seen.num_rows[name] - streams * self.rows[name] for name, of in seen.left_out.items())

    def check_once_an_epoch(self, num_rows: dict[str, int]) -> None:
        """Assert that rows of a source that streams take in turn are each epoch once, and that all keys differ."""
        for name, of_streams in self.held.items():
            in_turn = list(chain(*zip(*of_streams, strict=True)))
            every = sorted(held_by_source(name, self.case.packing is not None))
            for first in range(0, len(in_turn), num_rows[name]):
                epoch = in_turn[first : first + num_rows[name]]
                found = sorted(chain(*epoch))
                assert len(set(found)) == len(found) and set(found) <= set(every)
                assert len(epoch) < num_rows[name] or found == every
        keys = np.concatenate(self.keys) if self.keys else np.zeros(0)
        assert len(np.unique(keys)) == len(keys)

    def _take(self, phase: Phase, batch: Batch, num_wanted: int) -> None:
        """Take so many rows of each stream; what comes after them fills up."""
        held, counts = held_by(batch), set()
        sources = [phase.names[source] for source in batch["source"]]
        for stream, rows in enumerate(np.split(np.arange(len(held)), self.case.num_streams)):
            good = rows[:num_wanted]
            assert len(good) == num_wanted
            self.keys.append(batch["key"][good])
            if "mask" in batch:
                assert (batch["mask"][rows] == (rows < rows[0] + num_wanted)).all()
            for row in good:
                of_streams = self.held.setdefault(sources[row], [[] for _ in range(self.case.num_streams)])
                of_streams[stream].append(held[row])
            assert all(held[row] in chain(*(self.held[sources[row]])) for row in rows[num_wanted:])
            counts.add(tuple(sorted(Counter(sources[row] for row in good).items())))
        assert len(counts) == 1, "two streams have other numbers of rows of a source"
        self.rows.update(dict(counts.pop()))

    def _check_weights(self, phase: Phase, shares: Shares, num_rows: dict[str, int]) -> None:
        """Assert that the shares of rows are those that were given."""
        names, given = sorted(phase.names), phase.weights
        if given is None:
            given = num_rows
        knots = [given] if isinstance(given, dict) else [weights for _, weights in given]
        for weights, at in zip(knots, shares.weights, strict=True):
            wanted = [float(weights[name]) for name in names]
            if phase.weights is not None and "weight_by" in self.case.options:
                wanted = [
                    weight / mean_tokens(name, num_rows[name]) for weight, name in zip(wanted, names, strict=True)
                ]
            for weight, share in zip(wanted, at, strict=True):
                assert abs(weight / sum(wanted) - share / shares.whole) < 1.01 * 2**-20


def fractions_at(shares: Shares, step: int, names: list[str], left: list[str]) -> list[Fraction]:
    """Return each source's fraction of a step: on lines between the knots at which sources that are left have any."""
    knots = []
    for knot, weights in zip(shares.knots, shares.weights, strict=True):
        mine = [weight if name in left else 0 for name, weight in zip(names, weights, strict=True)]
        if any(mine):
            knots.append((knot, [Fraction(weight, sum(mine)) for weight in mine]))
    after = bisect_right([knot for knot, _ in knots], step)
    if after in (0, len(knots)):
        return knots[max(0, after - 1)][1]
    (start, first), (stop, last) = knots[after - 1 : after + 1]
    return [one + (other - one) * Fraction(step - start, stop - start) for one, other in zip(first, last, strict=True)]


def in_streams(rows: list[T], num_streams: int) -> list[list[T]]:
    """Return what each stream has of a step's rows."""
    share = len(rows) // num_streams
    return [rows[stream * share : (stream + 1) * share] for stream in range(num_streams)]
