"""Mixture: several sources whose rows come in the shares of their weights."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

from pyloader.files import DataDir
from pyloader.options import MOST, checked_integer, checked_word
from pyloader.plan import EXHAUSTED_RULES

__all__ = ["Mixture", "Weights"]

# The share of each source by name; or at some steps, between which it is linear.
Weights: TypeAlias = "Mapping[str, float] | Sequence[tuple[int, Mapping[str, float]]]"


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """Several sources, mixed by their weights.  After every step each has its share of the rows, within one row.

    Args:
      data_dir: The chunks of each source, by name: what a DataLoader's data_dir may be.
      weights: How much each source has of every batch, by name: {"web": 7, "code": 3}.  Only the ratios count.  A list
        of (step, weights) changes them on the way: linear between the steps given, constant before the first and after
        the last.  None takes the sources' sizes.
      weight_by: What the weights share out: "samples", or "tokens", by each source's mean tokens a row.
      on_exhausted: What happens where a source has been delivered once: "stop" ends with the last step that all can
        serve whole, "drop" goes on with the others, "repeat" begins it again in a new order.  None is "stop" with
        weights, and "drop" without.
      num_steps: The most steps; None sets no end.
      with_source: Whether each batch has `source`: int64 of shape [rows], which source each row is of, as its place in
        `data_dir`.

    Raises:
      TypeError, ValueError: one of them cannot be so.
    """

    data_dir: Mapping[str, DataDir]
    weights: Weights | None = None
    weight_by: str = "samples"
    on_exhausted: str | None = None
    num_steps: int | None = None
    with_source: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.data_dir, Mapping) or not self.data_dir:
            what = f"a mixture needs data_dir={{name: where}}, one entry for each source, got {self.data_dir!r}"
            raise TypeError(what)
        if stray := [name for name in self.data_dir if not isinstance(name, str) or not name]:
            raise TypeError(f"a source is called by a str, got {stray[0]!r}")
        checked_word("weight_by", self.weight_by, "samples", "tokens")
        if self.on_exhausted is None:
            object.__setattr__(self, "on_exhausted", "drop" if self.weights is None else "stop")
        checked_word("on_exhausted", self.on_exhausted, *EXHAUSTED_RULES)
        if self.num_steps is not None:
            checked_integer("num_steps", self.num_steps, at_least=1, at_most=MOST)
        if self.weight_by == "tokens" and self.weights is None:
            raise ValueError('weight_by="tokens" shares out by weights: give weights={...}')
        self.knots()

    def knots(self) -> list[tuple[int, list[Fraction]]] | None:
        """Return the weights at each step given, in the order of `data_dir`; None where there are none.

        Raises:
          TypeError, ValueError: they are no weights of these sources.
        """
        if self.weights is None:
            return None
        if isinstance(self.weights, Mapping):
            return [(0, self._fractions(self.weights))]
        found: list[tuple[int, list[Fraction]]] = []
        for entry in self.weights:
            if not isinstance(entry, Sequence) or len(entry) != 2 or not isinstance(entry[1], Mapping):
                raise TypeError(f"weights must be {{name: share}}, or a list of (step, {{name: share}}), got {entry!r}")
            step = checked_integer("the step of weights", entry[0], at_least=0, at_most=MOST)
            if found and step <= found[-1][0]:
                raise ValueError(f"the steps of weights must ascend, got {step} after {found[-1][0]}")
            found.append((step, self._fractions(entry[1])))
        if not found:
            raise ValueError("weights=[] says no weights: write {name: share}")
        return found

    def _fractions(self, weights: Mapping[str, Any]) -> list[Fraction]:
        if weights.keys() != self.data_dir.keys():
            lacking, stray = sorted(self.data_dir.keys() - weights), sorted(weights.keys() - self.data_dir, key=str)
            differs = f"names {stray[0]!r}, which is no source" if stray else f"lacks the source {lacking[0]!r}"
            raise ValueError(f"weights={dict(weights)!r} {differs}. Give one for each of {list(self.data_dir)}")
        found = [_fraction(name, weights[name]) for name in self.data_dir]
        if not any(found):
            raise ValueError(f"weights={dict(weights)!r} are all 0: nothing would come")
        return found


def _fraction(name: str, weight: Any) -> Fraction:
    """Return a weight as it is written: 0.7 is 7/10."""
    if isinstance(weight, Fraction):
        number = weight
    elif isinstance(weight, bool):
        raise TypeError(f"the weight of {name!r} must be a number, got {weight!r}")
    elif isinstance(weight, float) or (hasattr(weight, "__float__") and not hasattr(weight, "__index__")):
        if not math.isfinite(weight):
            raise ValueError(f"the weight of {name!r} must be finite, got {weight!r}")
        number = Fraction(repr(float(weight)))
    else:
        try:
            number = Fraction(operator.index(weight))
        except TypeError as exc:
            raise TypeError(f"the weight of {name!r} must be a number, got {weight!r}") from exc
    if number < 0:
        raise ValueError(f"the weight of {name!r} must be at least 0, got {weight!r}")
    return number
