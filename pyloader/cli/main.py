"""`pyloader COMMAND ...`: choose the command, and say in one line what went wrong."""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import io
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import NoReturn

from pyloader import __version__
from pyloader.cli.escaping import one_line
from pyloader.errors import CacheError, DataDirError, ManifestError, PyLoaderError

__all__ = ["COMMANDS", "GOOD", "INTERRUPTED", "PROBLEMS", "WRONG_USE", "main"]

GOOD, PROBLEMS, WRONG_USE, INTERRUPTED, PIPE_CLOSED = 0, 1, 2, 130, 141

# Command -> its module and what it does.  Only the chosen one's module is imported.
COMMANDS = {
    "split": ("pyloader.cli.split", "split a dump that does not fit in memory into chunk files"),
    "compact": ("pyloader.cli.compact", "join the small chunks that appends have left"),
    "peek": ("pyloader.cli.peek", "show what is inside of chunks, or of a dump, and what it takes to train on it"),
    "verify": ("pyloader.cli.verify", "find chunks that are damaged, missing or not in the manifest"),
    "locate": ("pyloader.cli.locate", "show chunk and row of every sample of a training step"),
    "audit": ("pyloader.cli.audit", "prove that a training run received every sample exactly once"),
    "watch": ("pyloader.cli.watch", "follow a running training: rate, waiting, and what it waits for"),
    "report": (
        "pyloader.cli.report",
        "make a page of what a training did: rate, waiting, slowest steps, what to change",
    ),
    "index": ("pyloader.cli.index", "count chunks that others wrote, and write their manifest"),
    "bench": ("pyloader.cli.bench", "measure how fast chunks come, and which options would make it faster"),
    "plan": ("pyloader.cli.plan", "tell what a run will take, how fast it will be and how well it mixes"),
    "tune": ("pyloader.cli.tune", "find the workers, readers and queue that are fastest"),
    "fetch": ("pyloader.cli.fetch", "fetch all chunks at an address of an object store onto this disk"),
    "cache": ("pyloader.cli.cache", "look after the chunks of object stores that are kept on this disk"),
    "demo": ("pyloader.cli.demo", "see it all at work in a minute: split, train, stop, resume"),
}

# The import name is pyloader; another project owns that name on the package index.
DISTRIBUTION = "pyloader-stream"
_USAGE = "usage: pyloader COMMAND ...        (pyloader COMMAND --help says more)"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
      argv: What follows `pyloader` on the command line; None takes it from there.

    Returns:
      The exit code: 0 good, 1 problems found, 2 wrong use or an error, 130 stopped by Ctrl-C, 141 output closed.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # text from any dump must not fail to print
            stream.reconfigure(errors="backslashreplace")
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help", "help"):
        return _show(_help(), GOOD if words else WRONG_USE)
    if words[0] == "--version":
        return _show(f"{DISTRIBUTION} {__version__}", GOOD)
    command = words[0]
    if command not in COMMANDS:
        close = _closest(command, COMMANDS)
        advice = f"Did you mean pyloader {close}?" if close else f"There are: {', '.join(COMMANDS)}"
        return _complain("pyloader", f"there is no command {command!r}. {advice}")
    return _run(command, words)


def _run(command: str, words: list[str]) -> int:
    name = f"pyloader {command}"
    try:
        code = _dispatch(command, words)
        sys.stdout.flush()  # here, where a closed pipe is still ours to handle
        return code
    except SystemExit as exc:  # argparse has said what it had to say
        return exc.code if isinstance(exc.code, int) else WRONG_USE
    except KeyboardInterrupt as exc:
        below = "\n" if sys.stderr.isatty() else ""  # the terminal has written ^C
        print(f"{below}{one_line(str(exc))}" if str(exc) else f"{below}{name}: stopped", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        with contextlib.suppress(OSError, ValueError):  # the interpreter's last flush would complain once more
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except (PyLoaderError, OSError, ValueError, TypeError) as exc:
        import traceback

        if os.environ.get("PYLOADER_TRACEBACK"):
            print(*map(one_line, traceback.format_exc().split("\n")), sep="\n", file=sys.stderr)
        traceback.clear_frames(exc.__traceback__)  # a bar that they hold ends its line
        return _complain(name, _in_shell_words(exc, name))
    except MemoryError as exc:
        return _complain(name, f"there is not enough memory. {exc}".rstrip())


def _dispatch(command: str, words: list[str]) -> int:
    parser = _OneLineParser(prog="pyloader")
    with _collecting_nothing():
        module = importlib.import_module(COMMANDS[command][0])
    subparsers = parser.add_subparsers()
    module.add_parser(subparsers)
    arguments, unknown = parser.parse_known_args(words)
    if unknown:
        stray = unknown[0]
        if not stray.startswith("-"):
            raise ValueError(f"{stray!r} is one word too many. See which are taken: pyloader {command} --help")
        options = set(re.findall("--[a-z-]+", subparsers.choices[command].format_help()))
        close = _closest(stray.partition("=")[0], options, 2)
        advice = f"Did you mean {close}?" if close else f"See them all: pyloader {command} --help"
        raise ValueError(f"there is no option {stray!r}. {advice}")
    code: int = module.run(arguments)
    return code


def _closest(typed: str, known: Iterable[str], num_shown: int = 1) -> str:
    import difflib

    return " or ".join(difflib.get_close_matches(typed, known, n=num_shown))


@contextlib.contextmanager
def _collecting_nothing() -> Iterator[None]:
    """Have no garbage looked for: what importing makes stays, and a command starts 10 ms sooner."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


class _OneLineParser(argparse.ArgumentParser):
    """Complains in one line, without the usage, and takes no abbreviated options: scripts outlive option lists."""

    def __init__(self, **options: object) -> None:
        super().__init__(**{"allow_abbrev": False, **options})  # type: ignore[arg-type]

    def error(self, message: str) -> NoReturn:
        self.exit(WRONG_USE, f"{self.prog}: error: {one_line(message)}. See {self.prog} --help\n")


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {command:{width}}   {what}" for command, (_, what) in COMMANDS.items()]
    begin = "Begin with pyloader demo, or pyloader split YOUR.jsonl chunks/"
    return "\n".join([_USAGE, "", *lines, "", begin, "PYLOADER_TRACEBACK=1 shows where an error came from"])


def _in_shell_words(exc: Exception, name: str) -> str:
    """The message, with advice that is meant for Python put as a command."""
    if isinstance(exc, OSError) and not isinstance(exc, PyLoaderError) and exc.strerror:
        above = os.path.dirname(exc.filename) if isinstance(exc.filename, str) else ""
        if isinstance(exc, FileNotFoundError) and above and not os.path.exists(above):
            return f"{exc.filename}: there is no directory {above}"
        return f"{exc.filename}: {exc.strerror}" if exc.filename is not None else exc.strerror
    text = "; ".join([str(exc) or type(exc).__name__, *getattr(exc, "__notes__", ())])
    if isinstance(exc, CacheError):
        return text.replace("cache_bytes=", "--cache-bytes=").replace("cache_dir=", "--cache-dir=")
    return text.replace("data_dir=", f"{name} ") if isinstance(exc, DataDirError | ManifestError) else text


def _show(text: str, code: int) -> int:
    print(text, file=sys.stdout if code == GOOD else sys.stderr)
    return code


def _complain(name: str, message: str) -> int:
    print(f"{name}: error: {one_line(message)}", file=sys.stderr)
    return WRONG_USE
