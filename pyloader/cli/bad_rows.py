"""`pyloader split --check`: all bad rows of a dump in one pass."""

from __future__ import annotations

from tqdm import tqdm

from pyloader.cli.main import GOOD, PROBLEMS
from pyloader.cli.screens import counted, one_line
from pyloader.write.dump_check import DumpCheck
from pyloader.write.request import Request

__all__ = ["list_bad_rows"]


def list_bad_rows(request: Request, *, quiet: bool) -> int:
    """Print each bad row of the dump that `request` would split, on a line of its own; write nothing."""
    check = DumpCheck(request)
    num_bad = 0
    hidden = True if quiet else None  # None: where there is no terminal
    with tqdm(desc="check", total=check.num_bytes or None, unit="B", unit_scale=True, disable=hidden) as bar:
        for bad in check:
            num_bad += 1
            bar.update(check.bytes_read - bar.n)
            where = bad.file if bad.line is None else f"{bad.file}:{bad.line}"
            with tqdm.external_write_mode():
                print(one_line(f"{where}: {bad.error}"))
    if quiet:
        return PROBLEMS if num_bad else GOOD
    if num_bad == 0:
        print(f"all well: {counted(check.num_samples, 'sample')}")
        return GOOD
    print(f"{counted(num_bad, 'bad row')} and {counted(check.num_samples, 'good one')}.")
    print(f"Mend them, or leave them out: --max-skipped {num_bad} --quarantine bad.jsonl")
    return PROBLEMS
