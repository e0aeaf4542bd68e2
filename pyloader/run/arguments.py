"""Arguments: what a DataLoader is given, by name: each option's type, and its check, in one table for each door.

The default of an option is in the door's signature, where an editor shows it, and nowhere else.  An option that depends
on another, or on the data, is checked where it is resolved.  Old names, and what to write for options of other
libraries, are in `pyloader/options.py`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Self, TypeAlias

from pyloader.datacollator import DataCollator
from pyloader.datareader import DataReader
from pyloader.dataset import Dataset
from pyloader.files import DataDir
from pyloader.mixture import Mixture, Weights
from pyloader.options import (
    AUTO,
    ELSEWHERE,
    MOST,
    checked_integer,
    checked_seconds,
    checked_threads,
    checked_word,
    with_new_names,
)
from pyloader.packing import Packing
from pyloader.packing.options import packing_of
from pyloader.plan import LAST_BATCH_RULES
from pyloader.world import World

__all__ = ["Arguments", "AsWritten", "LoaderArguments", "integer", "threads", "words"]

_MOST_RETRIES = 10_000  # three days and a half

_PARTS: dict[str, tuple[type, str]] = {
    "datareader": (DataReader, "Ours has read_file(path) -> columns: subclass pyloader.DataReader"),
    "dataset": (Dataset, "Ours has batch_encode(columns) -> columns: subclass pyloader.Dataset"),
    "datacollator": (DataCollator, "Ours has collate_batch(columns) -> batch: subclass pyloader.DataCollator"),
}

_OTHERS = {
    "torch.utils.data.dataset": "That is PyTorch's random-access dataset: pyloader.indexed.DataLoader takes it. ",
    "torch": "That belongs to PyTorch's data loader. ",
    "datasets": "That is a Hugging Face dataset. ",
    "tensorflow": "That belongs to tf.data. ",
}

_Check: TypeAlias = "Callable[[str, Any], Any]"  # name, value -> the value to go on with


def integer(*, at_least: int, at_most: int = MOST, or_none: bool = False) -> dict[str, _Check]:
    """Return the check of an option that is an integer."""

    def check(name: str, value: Any) -> int | None:
        is_none = value is None and or_none
        return None if is_none else checked_integer(name, value, at_least=at_least, at_most=at_most)

    return {"check": check}


def threads(*, at_least: int, or_none: bool = False) -> dict[str, _Check]:
    """Return the check of an option that is a number of threads, or "auto"; None is that where it may be given."""

    def check(name: str, value: Any) -> int | str:
        return checked_threads(name, AUTO if value is None and or_none else value, at_least=at_least)

    return {"check": check}


def words(*choices: str, or_none: bool = False) -> dict[str, _Check]:
    """Return the check of an option that is one of some words."""

    def check(name: str, value: Any) -> str | None:
        return None if value is None and or_none else checked_word(name, value, *choices)

    return {"check": check}


def _checked_part(name: str, value: Any) -> Any:
    """Return `value`, which can be the DataLoader's argument `name`; None can be each of them.

    Raises:
      TypeError: it is of another class; the message says what ours is.
    """
    part, advice = _PARTS[name]
    if value is None or isinstance(value, part):
        return value
    if isinstance(value, Mapping) and name != "datacollator":  # by source
        return {source: _checked_part(name, each) for source, each in value.items()}
    if isinstance(value, type) and issubclass(value, part):
        what = f"{name} must be a {part.__name__}, got the class {value.__name__}."
        raise TypeError(f"{what} Make one: {value.__name__}()")
    if name == "datareader" and isinstance(value, str):
        what = f"datareader must be a DataReader, got the str {value!r}."
        raise TypeError(f"{what} To let the suffix choose: DataLoader(data_dir={value!r})")
    kind = type(value)
    found = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    modules = [base.__module__ for base in kind.__mro__]
    if any(base.__name__ == "IterableDataset" for base in kind.__mro__):  # it has no items to be asked for by number
        modules = [module.partition(".")[0] for module in modules]
    other = next((text for theirs, text in _OTHERS.items() if any(_is_in(module, theirs) for module in modules)), "")
    raise TypeError(f"{name} must be a {part.__module__}.{part.__name__}, got a {found}. {other}{advice}")


def _column_or_none(name: str, value: Any) -> str | None:
    if value is not None and not (isinstance(value, str) and value):
        raise TypeError(f"{name} must be the name of a column, got {value!r}")
    return value


def _number_by_source(name: str, value: Any) -> Any:
    """Return a number, or those of some sources by name."""
    if isinstance(value, Mapping):  # by source
        return {
            source: checked_integer(f"{name}[{source!r}]", each, at_least=1, at_most=MOST)
            for source, each in value.items()
        }
    return integer(at_least=1, or_none=True)["check"](name, value)


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What a door is given.  A subclass is a table: its fields are the options, in the order of the signature.

    Raises:
      TypeError, ValueError: an option fails its check; the message names it.
    """

    elsewhere: ClassVar[Mapping[str, str]] = ELSEWHERE

    def __post_init__(self) -> None:
        for option in fields(self):
            if check := option.metadata.get("check"):
                object.__setattr__(self, option.name, check(option.name, getattr(self, option.name)))

    def renamed(self, old_names: Mapping[str, Any]) -> Self:
        """Return these arguments, with options given under old names in their places.

        Raises:
          TypeError: there is no such option; the message says what to write.
        """
        if not old_names:
            return self
        return replace(self, **with_new_names("DataLoader", vars(self), old_names, elsewhere=self.elsewhere))


@dataclass(frozen=True, kw_only=True)
class LoaderArguments(Arguments):
    """The options of pyloader.DataLoader, which describes them."""

    datareader: DataReader | Mapping[str, DataReader | None] | None = field(metadata={"check": _checked_part})
    dataset: Dataset | Mapping[str, Dataset | None] | None = field(metadata={"check": _checked_part})
    datacollator: DataCollator | None = field(metadata={"check": _checked_part})
    data_dir: DataDir | Mapping[str, DataDir] | None
    num_epochs: int | None = field(metadata=integer(at_least=1, or_none=True))
    max_queue_size: int = field(metadata=integer(at_least=1))
    shuffle: bool
    seed: int | None  # None takes the reader's, which is checked as this one is
    batch_size: int | None  # the same
    shuffle_window: int | Mapping[str, int] | None = field(metadata={"check": _number_by_source})
    last_batch: str = field(metadata=words(*LAST_BATCH_RULES))
    pack: Packing | None = field(metadata={"check": packing_of})
    bucket_by: str | None = field(metadata={"check": _column_or_none})
    max_bytes: int | str | None
    num_workers: int | str = field(metadata=threads(at_least=0))
    worker_kind: str = field(metadata=words("thread", "process"))
    num_readers: int | str = field(metadata=threads(at_least=0))
    verify: str
    read_retries: int = field(metadata=integer(at_least=0, at_most=_MOST_RETRIES))
    max_skipped: int | str
    quarantine: str | os.PathLike[str] | None
    stall_timeout_seconds: float | None = field(metadata={"check": checked_seconds})
    progress: bool
    copy: bool
    world: World | tuple[int, int] | str | None
    audit_dir: str | os.PathLike[str] | None
    log_dir: str | os.PathLike[str] | None
    data_version: int | Mapping[str, int] | None = field(metadata={"check": _number_by_source})
    nulls: Mapping[str, Any] | str | None
    cache_dir: str | os.PathLike[str] | None
    cache_bytes: int | str | None
    storage_options: Mapping[str, Any] | None
    offline: bool
    mixture: Mixture | None
    weights: Weights | None
    weight_by: str
    on_exhausted: str | None
    num_steps: int | None
    with_source: bool


class AsWritten(str):
    """A text that repr shows as it is."""

    def __repr__(self) -> str:
        return str(self)


def _is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")
