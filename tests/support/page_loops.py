"""Run the blocks of a page of docs/, in this process, and say which rows each of their loops has seen.

Usage: page_loops.py PAGE        in the directory that the blocks read; prints JSON
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

_DOCS = Path(__file__).resolve().parents[2] / "docs"


def main(page: str) -> None:
    """Run the page; what a loop calls x is a batch of rows, told by the first number of each."""
    names: dict[str, Any] = {"__name__": "docs"}
    loops = []
    for block in re.findall(r"```python\n(.*?)```", (_DOCS / page).read_text(encoding="utf-8"), re.S):
        seen: list[float] = []
        names["see"] = lambda batch, seen=seen: seen.extend(float(row[0]) for row in batch)
        marked = re.sub(r"^(\s+)(x(?:, \w+)? = batch.*)$", r"\1\2; see(x)", block, flags=re.M)
        exec(compile(marked, page, "exec"), names)
        if "for batch in" in block:
            loops.append(sorted(seen))
    said = {"loops": loops, "x": type(names["x"]).__name__, "names": names.get("names")}
    sys.stdout.write(json.dumps(said))


if __name__ == "__main__":
    main(sys.argv[1])
