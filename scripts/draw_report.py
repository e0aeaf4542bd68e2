"""Draw img/report.png, img/watch.svg and img/notebook.png: what `pyloader report`, `pyloader watch` and a notebook show
of a run of three ranks.

    NODE_PATH=.../node_modules python scripts/draw_report.py [--seconds 60]

It needs Node with @sparticuz/chromium and playwright-core (scripts/test.sh all installs them).
"""

import argparse
import io
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import SVG_EXPORT_THEME

from pyloader import ChunkWriter, DataLoader, DataReader
from pyloader.cli.main import main as pyloader_command
from pyloader.cli.watch import coloured
from pyloader.cli.watch_screen import screen
from pyloader.files.manifest import read_manifest
from pyloader.inspecting.page_style import page
from pyloader.inspecting.run_logs import read_logs
from pyloader.read.jsonl import JsonlReader

ROOT = Path(__file__).resolve().parents[1]
STEP_SECONDS, NUM_RANKS, SLOW_RANK = 0.012, 3, 1


class SlowDisk(DataReader):
    """Reads JSON lines, as from a disk that takes its time."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds, self.reader = seconds, JsonlReader()

    def read_file(self, path):
        time.sleep(self.seconds)
        return self.reader.read_file(path)


def train(rank: int, seconds: float) -> None:
    """Let the loop of a rank go; one of them has a slow disk, and all have one for a while."""
    reader = SlowDisk(0.16 if rank == SLOW_RANK else 0.04)
    options = {"batch_size": 50, "shuffle": True, "num_epochs": None, "last_batch": "drop"}
    begun = time.monotonic()
    with DataLoader(reader, data_dir="chunks", world=(rank, NUM_RANKS), log_dir="run1", **options) as loader:
        for _ in loader:
            time.sleep(STEP_SECONDS)
            elapsed = time.monotonic() - begun
            reader.seconds = (0.16 if rank == SLOW_RANK else 0.04) * (2.5 if 0.4 < elapsed / seconds < 0.55 else 1)
            if elapsed > seconds:
                break


def draw_watch(log_dir: Path) -> None:
    """Draw the screen of `pyloader watch` as it is now."""
    text = screen(Path(log_dir.name), read_logs(log_dir), time.time())
    console = Console(record=True, file=io.StringIO(), width=max(map(len, text.splitlines())), legacy_windows=False)
    console.print(coloured(text))
    svg = console.export_svg(title=f"$ pyloader watch {log_dir.name}", theme=SVG_EXPORT_THEME)
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)  # nothing from elsewhere
    svg = svg.replace("Fira Code,", "ui-monospace, Menlo, Consolas, DejaVu Sans Mono,")
    (ROOT / "img" / "watch.svg").write_text(re.sub(r"\n\s*\n", "\n", svg))


def main() -> None:
    """Run the ranks, each in a process of its own, and take the pictures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rank", type=int)
    given = parser.parse_args()
    if given.rank is not None:
        train(given.rank, given.seconds)
        return
    with tempfile.TemporaryDirectory() as made:
        directory = Path(made)
        with ChunkWriter(directory / "chunks", chunk_samples=500) as writer:
            for number in range(60_000):
                writer.write({"x": number / 10, "y": number % 2})
        command = [sys.executable, __file__, "--seconds", str(given.seconds), "--rank"]
        ranks = [subprocess.Popen([*command, str(rank)], cwd=directory) for rank in range(NUM_RANKS)]
        for rank in ranks:
            assert rank.wait() == 0
        draw_watch(directory / "run1")
        assert pyloader_command(["report", f"{made}/run1", "-o", f"{made}/report.html"]) == 0
        html = (directory / "report.html").read_text().replace(f"{made}/", "")
        (directory / "report.html").write_text(html)
        with DataLoader(data_dir=directory / "chunks", batch_size=50, shuffle=True) as loader:
            list(loader)
            shown = [loader, loader.stats(), read_manifest(directory / "chunks" / "manifest.json")]
            body = "<br>".join(each._repr_html_() for each in shown).replace(f"{made}/", "")
        (directory / "notebook.html").write_text(
            page("In a notebook", f'<style>td {{ white-space: normal }}</style><main id="main">{body}</main>')
        )
        for name, size in (("report", "1000x1572"), ("notebook", "1000x690")):
            look = ["node", str(ROOT / "scripts" / "browser.cjs"), str(directory / f"{name}.html")]
            subprocess.run(
                [*look, str(ROOT / "img" / f"{name}.png"), size, "light"], check=True, stdout=subprocess.DEVNULL
            )


if __name__ == "__main__":
    main()
