"""Lines of a dump, in blocks and spans."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import pytest
import xxhash

from pyloader.write.blocks import Span
from pyloader.write.file_digests import PartDigest
from pyloader.write.line_files import blocks_of_lines


@pytest.mark.slow
@pytest.mark.parametrize("packed", [False, True])
def test_spans_that_follow_one_another_hold_each_line_once_whatever_the_size_of_blocks(
    packed: bool, tmp_path: Path
) -> None:
    chance = random.Random()
    for case in range(150):
        lines = [b"x" * chance.randrange(chance.choice([2, 30, 200])) + b"\n" for _ in range(chance.randrange(40))]
        dump = b"".join(lines)
        path = tmp_path / f"{case}.jsonl{'.gz' if packed else ''}"
        path.write_bytes(gzip.compress(dump) if packed else dump)
        borders = sorted({0, *(chance.randrange(len(dump) + 1) for _ in range(3)), len(dump)})
        spans = [Span(*span) for span in zip(borders, [*borders[1:-1], None], strict=False)] or [Span()]
        found, digests = [], []
        for span in spans:
            digest = PartDigest(None if span.stop is None else span.stop - span.start)
            for block in blocks_of_lines(str(path), span, block_bytes=chance.choice([1, 7, 50, 10**4]), digest=digest):
                assert isinstance(block.content, memoryview)
                assert block.ends[-1] == len(block.content)
                found += bytes(block.content).splitlines(keepends=True)
            digests.append(digest.hexdigest())
        assert found == lines
        parts = [dump[span.start : span.stop] for span in spans]
        assert digests == [xxhash.xxh3_128_hexdigest(part) for part in parts]
