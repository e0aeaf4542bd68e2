"""A headless Chromium that looks at a page, where scripts/test.sh has installed one for Node."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

__all__ = ["look_at"]

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "browser.cjs"


def look_at(page: Path, *wanted: object) -> dict[str, Any]:
    """Return what scripts/browser.cjs has seen of a page; the test is skipped where there is no browser."""
    modules = Path(os.environ.get("PYLOADER_NODE_MODULES", "/nonexistent"))
    if shutil.which("node") is None or not (modules / "@sparticuz" / "chromium").is_dir():
        pytest.skip("needs Node with @sparticuz/chromium and playwright-core: scripts/test.sh all installs them")
    (unpacked := modules / ".cache" / "chromium").mkdir(parents=True, exist_ok=True)
    command = ["node", str(SCRIPT), str(page), *map(str, wanted)]
    environment = {**os.environ, "NODE_PATH": str(modules), "TMPDIR": str(unpacked)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found
