"""What the user asked a split to do, and the command that asks the same."""

from __future__ import annotations

import importlib
import os
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import xxhash

from pyloader.dataset import Dataset
from pyloader.encode import TokensDataset, taken_by
from pyloader.files import utf8_name
from pyloader.write.holdout import output_names
from pyloader.write.input_files import InputFile, InputNames, as_names
from pyloader.write.media import MediaOptions
from pyloader.write.outputs import Output, StorePlace
from pyloader.write.sizes import ChunkSizes
from pyloader.write.token_files import Windows

__all__ = ["Request", "fill_option"]


@dataclass(frozen=True, kw_only=True)
class Request:
    """The options that decide about the chunks, and how many bad rows are gone past.

      Attributes as the arguments of `pyloader.write.split`; `windows` is its window, stride and dtype,
    `media` is what it says of images and sounds.  Where
      `output_dir` is an address, `work_dir` is its work directory, and `place` what workers need.
    """

    inputs: InputNames
    output_dir: str
    sizes: ChunkSizes = field(default_factory=ChunkSizes)
    shuffle: bool = False
    seed: int = 0
    holdout: Mapping[str, float] | None = None
    holdout_by: str | None = None
    unique: Sequence[str] | None = None
    input_format: str | None = None
    delimiter: str | None = None
    quote: str | None = None
    quoted_newlines: bool = True
    windows: Windows | None = None
    media: MediaOptions = field(default_factory=MediaOptions)
    output_format: str | None = None
    encode: str | Dataset | None = None
    where: str | Callable[[dict[str, Any]], Any] | None = None
    fill: Mapping[str, Any] | None = None
    columns: Sequence[str] | None = None
    append: bool = False
    again: bool = False
    max_skipped: int = 0
    quarantine: str | None = None
    scratch_dir: str | None = None
    work_dir: str | None = None
    place: StorePlace | None = None

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f"seed must be an integer >= 0, got {self.seed}")
        if isinstance(self.columns, str):
            raise TypeError(f"columns must be a list of names: columns=[{self.columns!r}]")
        if self.columns is not None and len(set(self.columns)) != len(self.columns):
            raise ValueError(f"columns names one twice: {', '.join(self.columns)}")
        if self.max_skipped < 0:
            raise ValueError(f"max_skipped must be an integer >= 0, got {self.max_skipped}")
        if self.unique is not None and (isinstance(self.unique, str) or not self.unique):
            raise TypeError(f"unique must be a list of columns, got {self.unique!r}")
        output_names(self.holdout)
        if self.holdout_by is not None and not self.holdout:
            raise ValueError("holdout_by says by which column samples are held out, and none are: give holdout as well")

    def at(self, output: Output) -> Request:
        """Return the request with where it is carried out."""
        if output.place is None:
            return self
        return replace(self, work_dir=str(output.root), place=output.place, scratch_dir=None)

    @property
    def root(self) -> Path:
        """The directory that is written to."""
        return Path(self.output_dir if self.work_dir is None else self.work_dir)

    @cached_property
    def encoder(self) -> Dataset | None:
        """The Dataset to apply."""
        encode = _named_object(self.encode, "--encode") if isinstance(self.encode, str) else self.encode
        encoder: Dataset | None = encode() if isinstance(encode, type) else encode
        if encoder is not None and (drawn := taken_by(encoder)):
            takes = " and ".join(sorted(drawn))
            what = f"{type(encoder).__name__}.batch_encode takes {takes}: it draws anew in every epoch"
            raise ValueError(f"{what}, and a split encodes once. Give it to the DataLoader: dataset=")
        return encoder

    @cached_property
    def keeps(self) -> Callable[[dict[str, Any]], Any] | None:
        """What tells whether a sample is kept."""
        return _named_object(self.where, "--where") if isinstance(self.where, str) else self.where

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the outputs, the main one first."""
        return output_names(self.holdout)

    @property
    def looked_at(self) -> tuple[str, ...]:
        """The columns that decide where a row goes, and whether it stays; they are read, and need not be kept."""
        return (*(self.unique or ()), *([] if self.holdout_by is None else [self.holdout_by]))

    def command(self) -> str:
        """Return the command line that asks the same, without what changes nothing in the chunks."""
        words = ["pyloader", "split", *self._input_words(), utf8_name(os.path.join(self.output_dir, ""))]
        sizes = self.sizes
        for option, value in (
            ("--chunk-bytes", sizes.chunk_bytes), ("--chunk-samples", sizes.chunk_samples),
            ("--num-chunks", sizes.num_chunks), ("--from", self.input_format), ("--to", self.output_format),
            ("--delimiter", "tab" if self.delimiter == "\t" else self.delimiter), ("--quote", self.quote),
            ("--where", _name_of(self.where)),
        ):  # fmt: skip
            words += [] if value is None else [option, str(value)]
        words += [] if self.quoted_newlines else ["--no-quoted-newlines"]
        words += self._encode_words()
        words += ["--shuffle"] if self.shuffle else []
        words += ["--seed", str(self.seed)] if self.shuffle and self.seed else []
        for name, share in (self.holdout or {}).items():
            words += ["--holdout", f"{name}={share}"]
        words += [] if self.holdout_by is None else ["--holdout-by", self.holdout_by]
        words += [] if self.unique is None else ["--unique", ",".join(self.unique)]
        if (windows := self.windows) is not None:
            words += ["--window", str(windows.window)]
            words += [] if windows.stride == windows.window else ["--stride", str(windows.stride)]
            words += [] if windows.dtype is None else ["--dtype", windows.dtype]
        words += self.media.words()
        for name, value in (self.fill or {}).items():
            words += fill_option(name, value).split(" ", 1)
        words += ["--columns", ",".join(self.columns)] if self.columns is not None else []
        words += ["--append"] if self.append else []
        words += ["--again"] if self.again else []
        return shlex.join(words)

    def fingerprint(self, files: Iterable[InputFile]) -> str:
        """Return 16 hexadecimal digits that change when the dump does, or what is to be made of it."""
        said = [
            self.command(),
            [[utf8_name(file.path), file.num_bytes, file.object_version or file.modified_ns] for file in files],
        ]
        said += [self.encode.fingerprint()] if isinstance(self.encode, TokensDataset) else []
        return xxhash.xxh3_64_hexdigest(msgspec.json.encode(said))

    def shown_inputs(self) -> str:
        """Return the inputs as one reads them."""
        words = self._input_words()
        return words[0] if len(words) == 1 else f"{words[0]} and {len(words) - 1:,} more"

    def _encode_words(self) -> list[str]:
        encode = self.encode
        if not isinstance(encode, TokensDataset):
            return [] if encode is None else ["--encode", str(_name_of(encode))]
        from pyloader.encode import ChatDataset, TokenizerDataset

        if isinstance(encode, ChatDataset) and isinstance(encode.template, str):
            words = ["--tokenizer", utf8_name(encode.path), "--chat", encode.template]
            return [*words, *([] if encode.column == "messages" else ["--column", encode.column])]
        if not isinstance(encode, TokenizerDataset):
            return ["--encode", str(_name_of(encode))]
        words = ["--tokenizer", utf8_name(encode.path)]
        words += [] if encode.column == "text" else ["--column", encode.column]
        if encode.append_eos is False:
            return words
        return [*words, "--append-eos"] if encode.append_eos is True else [*words, f"--append-eos={encode.append_eos}"]

    def _input_words(self) -> list[str]:
        if isinstance(self.inputs, Mapping):
            named = ((column, name) for column, names in self.inputs.items() for name in as_names(names))
            return [f"{column}={utf8_name(name)}" for column, name in named]
        return [utf8_name(name) for name in as_names(self.inputs)]


def _name_of(named: Any) -> str | None:
    if named is None or isinstance(named, str):
        return named
    known = named if hasattr(named, "__qualname__") else type(named)
    return f"{known.__module__}:{known.__qualname__}"


def fill_option(name: str, value: Any) -> str:
    """Return how a value for missing keys is given on the command line."""
    if isinstance(value, float) and value != value:
        return f"--fill {name}=nan"
    return f"--fill {name}={value if isinstance(value, str) else msgspec.json.encode(value).decode()}"


def _named_object(name: str, option: str) -> Any:
    """Return what "package.module:name" names.

    Raises:
      ValueError: there is no such thing; the message says what is missing.
    """
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise ValueError(f"{option} wants package.module:name, got {name!r}")
    try:
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as exc:
        raise ValueError(f"{option} {name}: {exc}") from exc
    return found
