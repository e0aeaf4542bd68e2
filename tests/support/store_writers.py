"""Writers to the store of tests, each in a process of its own, which is killed at a request where a test wants that."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from store_server import StoreServer

__all__ = ["check_visible_sets", "killed_at", "objects_below", "put_aside", "split_options", "without_places"]

SUPPORT = Path(__file__).parent
SPLIT = """
import json, os, sys
from pyloader.write import split, units
units.MIN_UNIT_BYTES = 1
dump, address, options = json.loads(sys.argv[1])
split(dump, address, **options)
"""


def split_options(server: StoreServer, scratch: Path, **more: Any) -> dict[str, Any]:
    """Return the options of a split to the server."""
    return {"storage_options": server.s3_options, "scratch_dir": str(scratch), "engine": "inline", "workers": 1, **more}


def killed_at(
    server: StoreServer,
    number: int,
    dump: str,
    address: str,
    options: dict[str, Any],
    *,
    name: str = "*",
    method: str = "*",
    is_done: bool = True,
) -> bool:
    """Split in a process that is killed at its request `number`, from 0; return whether it came to that.

    Args:
      server: Where the split goes.
      number: The request, among those for `name` by `method`.
      dump: The dump.
      address: The output.
      options: Of the split.
      name: Of objects, a pattern.
      method: Of the request.
      is_done: Whether the server does what the request asks, though nobody hears the answer.
    """
    words = [sys.executable, "-c", SPLIT, json.dumps([dump, address, options])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(SUPPORT.parents[1]), str(SUPPORT)])}
    process = subprocess.Popen(words, env=environment, stderr=subprocess.PIPE)

    def kill() -> None:
        process.send_signal(signal.SIGKILL)
        process.wait()

    fault = server.add_fault(name, method=method, after=number, before=kill, status=None if is_done else 503)
    assert process.stderr is not None
    with process.stderr as said:
        complaint = said.read().decode()
    code = process.wait()
    server.faults.remove(fault)
    assert code == (-signal.SIGKILL if fault.used else 0), complaint
    return bool(fault.used)


def objects_below(server: StoreServer, place: str) -> dict[str, bytes]:
    """Return the objects below bucket/place."""
    held = {name.removeprefix(f"{place}/"): held.data for name, held in server.objects.items()}
    return {name: bytes(data) for name, data in held.items() if f"{place}/{name}" in server.objects}  # type: ignore[arg-type]


def check_visible_sets(server: StoreServer, place: str) -> int:
    """See to it that what manifests list is there; return how many rows a loader finds."""
    found, number = objects_below(server, place), 0
    for name, data in found.items():
        if name.endswith("manifest.json"):
            for chunk in json.loads(data)["chunks"]:
                number += chunk["num_samples"]
                path = name.replace("manifest.json", chunk["file"])
                held = [len(data) for key, data in found.items() if key == path or key.startswith(f"{path}/")]
                assert sum(held) == chunk["num_bytes"], f"{name} lists {chunk['file']}"
    return number


def without_places(found: dict[str, bytes]) -> dict[str, Any]:
    """Return what was written, but for what names the place, or tells the time."""
    held: dict[str, Any] = {}
    for name, data in found.items():
        if name.endswith("manifest.json"):
            manifest = json.loads(data)
            for made in (manifest["made_by"], *manifest["made_by"].get("origins", ())):
                made |= {"command": "", "fingerprint": "", "dump": Path(made.get("dump", "")).name}
            manifest["made_by"].get("unique", {}).pop("parts", None)
            held[name] = manifest
        elif name.endswith(".inputs.jsonl"):
            held[name] = [{**json.loads(line), "path": ""} for line in data.splitlines()]
        elif name.endswith(".versions.jsonl"):
            held[name] = [{**json.loads(line), "command": "", "made_seconds": 0} for line in data.splitlines()]
        elif ".keys-" in name:
            held[".keys"] = sorted([*held.get(".keys", ()), data])
        else:
            held[name] = data
    return held


def put_aside(scratch: Path) -> list[str]:
    """Return what lies in a scratch directory."""
    return sorted(str(path.relative_to(scratch)) for path in scratch.rglob("*"))
