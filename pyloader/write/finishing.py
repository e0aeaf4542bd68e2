"""The end of a split: chunks in order, under their last names, and the manifests that list them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import msgspec
import xxhash

from pyloader.encode import TokensDataset
from pyloader.errors import SplitError
from pyloader.files import ChunkEntry, Manifest
from pyloader.write.beginning import chunk_sets
from pyloader.write.chunk_files import check_number, is_whole, new_manifest
from pyloader.write.chunks_plan import ChunkTask, named_chunks
from pyloader.write.job import CONTENT_RULE, Job, Terms
from pyloader.write.joining import go_past
from pyloader.write.kept_keys import Unique
from pyloader.write.preparing import Learnt, Preparation
from pyloader.write.receipts import ChunkReceipt, UnitReceipt
from pyloader.write.removing import output_directory
from pyloader.write.request import Request
from pyloader.write.same_set import TOKENIZER, tokenizer_of

__all__ = ["Finish", "content_of"]


class Finish:
    """Ends a split whose tasks are finished.

    Args:
      request: The options.
      input_format: One of INPUT_FORMATS.
      job: Holds what the tasks have made.
      terms: What the split was begun with.
      learnt: What all units say of the columns.
      receipts: What came of each unit, in order.
      labels: Of images.
      parts: The splits whose keys are kept, this one last.
    """

    def __init__(
        self,
        request: Request,
        input_format: str,
        job: Job,
        terms: Terms,
        learnt: Learnt,
        receipts: Sequence[UnitReceipt],
        labels: Sequence[str] = (),
        parts: Sequence[str] = (),
    ) -> None:
        self._labels, self._parts = list(labels), list(parts)
        self._request, self._job, self._terms, self._learnt = request, job, terms, learnt
        self._receipts, self._root = receipts, request.root
        self._form = Preparation(learnt, request, input_format, go_past).written_form()

    def manifests(self, tasks: dict[str, list[ChunkTask]]) -> tuple[dict[str, Manifest], list[tuple[str, str, str]]]:
        """Return the manifests, and the chunks' last names: (output, last name, name of the file that a task made).

        Args:
          tasks: Output -> the tasks of the chunks that were gathered.

        Raises:
          SplitError: samples were lost, or damaged chunks are to be mended by others than they were.
        """
        found = [receipt for receipt in self._job.receipts.values() if isinstance(receipt, ChunkReceipt)]
        gathered = {receipt.name: receipt.entry for receipt in found}
        names: list[tuple[str, str, str]] = []
        entries: dict[str, Sequence[ChunkEntry]] = {}
        for output in self._request.outputs:
            first, chunks = self._terms.first[output], self._learnt.layout.format
            made = named_chunks(
                output, self._receipts, tasks.get(output, []), gathered,
                first=first, chunks=chunks, version=self._terms.data_version,
            )  # fmt: skip
            listed = self._terms.mended.get(output)
            new = [(entry, file) for entry, file in made if entry is not None]
            if listed is not None:
                new = self._mending(output, made, listed)
            entries[output] = listed if listed is not None else [entry for entry, _ in new]
            names += [(output, entry.file, file) for entry, file in new]
        if not self._terms.mended:
            num_rows = sum(sum(receipt.num_rows.values()) for receipt in self._receipts)
            check_number(str(self._root), itertools.chain.from_iterable(entries.values()), num_rows)
        listed_all = itertools.chain.from_iterable([*entries.values(), *self._terms.kept.values()])
        total = sum(entry.num_samples for entry in listed_all)
        manifests = {output: self._manifest(output, of_output, total) for output, of_output in entries.items()}
        return manifests, names

    def _mending(
        self, output: str, made: Sequence[tuple[ChunkEntry | None, str]], listed: Sequence[ChunkEntry]
    ) -> list[tuple[ChunkEntry, str]]:
        """Return those of the chunks that take the place of damaged ones, which must be what the manifest lists."""
        directory = output_directory(self._root, output)
        is_stored = self._request.place is not None
        damaged = [not is_whole(directory, entry, is_stored=is_stored) for entry in listed]
        is_same = len(made) == len(listed) and all(
            entry == expected or not wanted for (entry, _), expected, wanted in zip(made, listed, damaged, strict=True)
        )
        if not is_same:
            what = "cannot be mended: the same command makes other chunks now."
            raise SplitError(f"{self._root}/", what, "Put the damaged ones back from a copy")
        wanted_ones = itertools.compress(made, damaged)
        return [(entry, file) for entry, file in wanted_ones if entry is not None]

    def _manifest(self, output: str, entries: Sequence[ChunkEntry], total: int) -> Manifest:
        layout, terms = self._learnt.layout, self._terms
        columns = layout.written_specs(self._form)
        kept = terms.kept.get(output, [])
        made_by = {
            "command": terms.made_by or terms.command,
            "dump": self._request.shown_inputs(),
            "fingerprint": terms.fingerprint,
            "content": content_of(self._receipts),
            "num_kept": len(kept),
            "filled": self._learnt.filled,
            "num_skipped": self._learnt.num_skipped,
            "why": layout.why,
            "order": [spec.name for spec in columns],
        }
        if terms.set_sizes is not None:
            made_by |= {"sizes": terms.sizes, "set_sizes": terms.set_sizes}
        if self._labels:
            made_by["labels"] = self._labels
        if isinstance(encoder := self._request.encode, TokensDataset):
            made_by[TOKENIZER] = encoder.tokenizer_sha256
        elif kept and (before := tokenizer_of(chunk_sets(self._root))):
            made_by[TOKENIZER] = before  # also where tokens were added that somebody else has made
        if self._request.unique:
            made_by["num_duplicates"] = self._learnt.num_duplicates
            unique = Unique(columns=list(self._request.unique), parts=self._parts, num_samples=total)
            made_by["unique"] = msgspec.to_builtins(unique)
        if self._request.holdout:
            made_by |= {"holdout": dict(self._request.holdout), "holdout_rule": terms.holdout_rule}
        return new_manifest(
            self._root / output,
            kept,
            entries,
            columns=columns,
            chunks=layout.format,
            made_by=made_by,
            version=terms.data_version,
            removed=terms.removed.get(output, []),
            is_mending=bool(terms.mended),
        )


def content_of(receipts: Sequence[UnitReceipt]) -> str:
    """Return the digest of all rows of a dump: of the digests of its units, in order."""
    return CONTENT_RULE + xxhash.xxh3_64_hexdigest("".join(receipt.digest for receipt in receipts).encode())
