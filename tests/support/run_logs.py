"""Logs of runs, made up: lines as `DataLoader(log_dir=...)` writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

__all__ = ["ABOUT", "line_of", "write_log", "write_run"]

ABOUT = {
    "host": "node-1",
    "pid": 7,
    "loader": "DataLoader()",
    "steps_per_epoch": 100,
    "num_chunks": 40,
    "threads": {"read": 1, "shuffle": 1, "encode": 1, "collate": 1},
}


def write_log(directory: Path, rank: int, *lines: dict[str, Any] | str) -> None:
    """Write the log of a rank; what is no dict is a line as it is."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"rank-{rank:05d}.jsonl"
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))


def line_of(time: float, steps: int, waited: float, **more: Any) -> dict[str, Any]:
    """Return a line of a run that began at 1000 s since 1970, after so many steps of 10 samples."""
    return {
        "time": time,
        "verdict": "",
        "steps_done": steps,
        "epochs_done": 0,
        "steps": steps,
        "samples": 10 * steps,
        "data_wait_seconds": waited,
        "wait_p95_seconds": 0.0125,
        "loop_seconds": time - 1000,
        **more,
    }


def write_run(directory: Path, *, num_ranks: int = 3, seconds: int = 60, slow: int = 1) -> None:
    """Write the logs of ranks, of which one waits for reading half of its time, with all that a log may say."""
    for rank in range(num_ranks):
        is_slow = rank == slow
        lines: list[dict[str, Any]] = [{"time": 1000.0, "about": {**ABOUT, "host": f"node-{rank}"}}]
        for k in range(1, seconds + 1):
            line = line_of(
                1000.0 + k,
                5 * k,
                (0.5 if is_slow else 0.01) * k,
                verdict="read: num_readers=2 reads two chunks at a time" if is_slow else "",
                busy_read_seconds=(0.9 if is_slow else 0.3) * k,
                busy_encode_seconds=0.2 * k,
                first_wait_seconds=0.3,
                longest_wait_seconds=0.7,
                mixed_chunks=3.5,
                resident_chunks=4.5,
                resident_chunks_bound=10,
                resident_bytes=1_000_000 * k,
                resident_bytes_bound=10**9,
                process_bytes=10**9 + k,
                fetched_bytes=10**6 * k,
                cache_hits=k,
                cache_misses=k,
                cache_bytes=10**9,
                cache_bytes_bound=2 * 10**9,
                chunks=[k % 40, (7 * k) % 40],
                slowest={"step": 5 * k - 1, "wait_seconds": 0.001 * k, "files": ["chunk-1", f"chunk-{k % 40}"]},
            )
            if is_slow and k == 2:
                line |= {
                    "skipped": 1,
                    "left_out": {"chunks/<b>bad</b>.jsonl": "ChunkReadError: <script>alert(1)</script>"},
                }
            lines.append(line)
        write_log(directory, rank, *lines)
