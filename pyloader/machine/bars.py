"""Bars: how far something is, on stderr: a bar on a terminal and in a notebook, elsewhere a line a minute for a log."""

from __future__ import annotations

import contextlib
import math
import shutil
import sys
import time
import warnings
from typing import Any

__all__ = ["LINE_SECONDS", "LogLines", "progress_bar"]

LINE_SECONDS = 60.0
_MARGIN = 3  # columns: a terminal that writes ^C behind a bar of its whole width begins a new line


def progress_bar(
    what: str, *, total: int | None, unit: str, initial: int = 0, hidden: bool = False, since: float | None = None
) -> Any:
    """Return what shows how far something is: a context manager with `update`, `set_postfix_str`, `close` and `n`.

    Args:
      what: Its title.
      total: What there is to do; None when that is unknown.
      unit: What is counted, " batches"; "B" is bytes.
      initial: What has been done already.
      hidden: Whether nothing is shown.
      since: Where lines are shown, when the latest was, by `time.monotonic`; None is now.
    """
    looks: dict[str, Any] = {"desc": what, "total": total, "unit": unit, "unit_scale": unit == "B", "initial": initial}
    if hidden or sys.stderr is None:  # a process may have been started without one
        return LogLines(**looks, since=math.inf)
    if _in_notebook():
        with warnings.catch_warnings():  # it falls back on text, in so many words, where there is no ipywidgets
            warnings.simplefilter("ignore")
            from tqdm.auto import tqdm as notebook_bar
        return notebook_bar(**looks)
    if not sys.stderr.isatty():
        return LogLines(**looks, since=since)
    import tqdm  # with all that it imports, a tenth of what a short command takes

    bar = tqdm.tqdm(**looks, ncols=_bar_size(None)[0])
    bar.dynamic_ncols = _bar_size
    return bar


class LogLines:
    """Shows a line when a minute has passed since the latest, and nothing of what is over before.

    Attributes:
      n: What has been done.
      latest: When the latest line was shown, by `time.monotonic`.
    """

    def __init__(
        self, *, desc: str, total: int | None, unit: str, unit_scale: bool, initial: int, since: float | None
    ) -> None:
        self._looks = {"prefix": desc, "unit": unit, "unit_scale": unit_scale, "initial": initial, "ascii": True}
        self._total, self._postfix = total, ""
        self._begun = time.monotonic()
        self.n = initial
        self.latest = self._begun if since is None else since

    def update(self, number: int = 1) -> None:
        """Count so much more."""
        self.n += number
        now = time.monotonic()
        if now - self.latest >= LINE_SECONDS:
            self.latest = now
            from tqdm import tqdm

            line = tqdm.format_meter(
                self.n, self._total, now - self._begun, postfix=self._postfix or None, **self._looks
            )
            with contextlib.suppress(OSError, ValueError):  # whoever read the lines is gone: the work goes on
                sys.stderr.write(line + "\n")
                sys.stderr.flush()

    def set_postfix_str(self, text: str, refresh: bool = False) -> None:
        """Show `text` in lines to come."""
        self._postfix = text

    def close(self) -> None:
        """Leave the lines as they stand."""

    def __enter__(self) -> LogLines:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _in_notebook() -> bool:
    """Tell whether this runs in a Jupyter kernel."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and "IPKernelApp" in shell.config


def _bar_size(_: Any) -> tuple[int, int]:
    columns, lines = shutil.get_terminal_size()
    return max(10, columns - _MARGIN), lines
