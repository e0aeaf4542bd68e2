"""Engines: where the tasks of a split run.

An engine is anything with `submit(function, *args)` that returns a future, as the executors of `concurrent.futures`
have it: threads, processes, a Ray cluster, Dask's `get_executor()`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from typing import Any, Protocol, TypeVar

from pyloader.errors import import_optional

__all__ = ["ENGINES", "CallError", "Engine", "as_finished", "is_death", "opened_engine"]

ENGINES = ("inline", "thread", "process", "ray")
_TRIES = 3  # of a task whose worker died
# What Ray, Dask and submitit call that.
_DEATHS = ("WorkerCrashedError", "NodeDiedError", "OutOfMemoryError", "KilledWorker", "UncompletedJobError")

Key = TypeVar("Key")


class CallError(Exception):
    """A call failed.

    Attributes:
      key: Of the call.
      error: What it raised.
    """

    def __init__(self, key: Any, error: BaseException) -> None:
        super().__init__(key, error)
        self.key, self.error = key, error


class Engine(Protocol):
    """What runs functions."""

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Any:
        """Begin a call, and return its future."""


class _InlineEngine:
    """Runs each function at once, in the thread that asks."""

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """Return a future that is done."""
        future: Future[Any] = Future()
        try:
            future.set_result(function(*args))
        except Exception as exc:
            future.set_exception(exc)
        return future


class _RayEngine:
    """Runs functions as tasks of Ray, each on one processor; a task whose node died is run again on another."""

    def __init__(self, address: str | None) -> None:
        self._ray = import_optional("ray", wanted_by="--engine ray")
        self._has_begun = not self._ray.is_initialized()
        if self._has_begun:
            self._ray.init(address=address, log_to_driver=False, include_dashboard=False if address is None else None)
        self._tasks: dict[Callable[..., Any], Any] = {}

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Future[Any]:
        if function not in self._tasks:
            self._tasks[function] = self._ray.remote(function).options(num_cpus=1, max_retries=_TRIES)
        future: Future[Any] = self._tasks[function].remote(*args).future()
        return future

    def close(self) -> None:
        if self._has_begun:
            self._ray.shutdown()


@contextmanager
def opened_engine(kind: str | Engine, num_workers: int, *, address: str | None = None) -> Iterator[Engine]:
    """Give an engine; at the end of the `with` its calls are over, and what has not begun never will.

    Args:
      kind: One of ENGINES, or an engine, which stays open.
      num_workers: Threads or processes; Ray has its own.
      address: Of a running Ray cluster; None begins one on this machine, unless `ray.init` was called.

    Raises:
      MissingDependencyError: Ray is not installed.
    """
    if not isinstance(kind, str):
        yield kind
    elif kind == "inline":
        yield _InlineEngine()
    elif kind == "thread":
        pool = ThreadPoolExecutor(num_workers, "pyloader-split")
        try:
            yield pool
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    elif kind == "process":
        from pyloader.deliver.process_engine import ProcessEngine

        with closing(ProcessEngine(num_workers)) as processes:
            yield processes
    elif kind == "ray":
        with closing(_RayEngine(address)) as cluster:
            yield cluster
    else:
        raise ValueError(f"there is no engine {kind!r}; there are {', '.join(ENGINES)}")


def as_finished(
    engine: Engine, function: Callable[..., Any], calls: Iterable[tuple[Key, tuple[Any, ...]]], *, max_ahead: int
) -> Iterator[tuple[Key, Any]]:
    """Yield (key, result) of `function(*args)` for each (key, args) of `calls`, as they finish.

    The calls begin in order.  After the first error no other call begins; those that have begun come to their end, and
    the error of the earliest of them is raised: that of the first call in order that fails, whatever the engine.  A
    result with `as_error()`, as a `Failure` has it, is such an error, on its way from another process.

    Args:
      engine: Runs them.
      function: What can be imported by name.
      calls: Taken one by one, as there is room.
      max_ahead: How many are begun and not finished, at most.

    Raises:
      CallError: a call failed.
    """
    running: dict[Any, tuple[int, Key, tuple[Any, ...], int]] = {}
    failed: list[tuple[int, Key, BaseException]] = []
    waiting = enumerate(calls)
    more = True
    try:
        while more or running:
            while more and not failed and len(running) < max_ahead:
                item = next(waiting, None)
                if item is None:
                    more = False
                else:
                    number, (key, args) = item
                    running[_future(engine.submit(function, *args))] = (number, key, args, 1)
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                number, key, args, tries = running.pop(future)
                error = CancelledError() if future.cancelled() else future.exception()
                result = None if error is not None else future.result()
                if (as_error := getattr(result, "as_error", None)) is not None:
                    error = as_error()
                if is_death(error) and tries < _TRIES and not failed:
                    running[_future(engine.submit(function, *args))] = (number, key, args, tries + 1)
                elif error is not None:
                    failed.append((number, key, error))
                else:
                    yield key, result
            more = more and not failed
    except Exception:  # of `calls`: nothing of this runs on while the caller cleans up
        _cancel(running)
        wait(running)
        raise
    finally:
        _cancel(running)
    if failed:
        _, key, error = min(failed, key=lambda found: found[0])
        raise CallError(key, error) from error


def _cancel(running: Iterable[Future[Any]]) -> None:
    for future in running:
        future.cancel()


def _future(submitted: Any) -> Future[Any]:
    """Return a future of `concurrent.futures`; engines of others may have futures of their own, with `result()`."""
    if isinstance(submitted, Future):
        return submitted
    future: Future[Any] = Future()

    def take() -> None:
        try:
            future.set_result(submitted.result())
        except BaseException as exc:
            future.set_exception(exc)

    threading.Thread(target=take, name="pyloader-split-result", daemon=True).start()
    return future


def is_death(error: BaseException | None) -> bool:
    """Tell whether a worker died: then the task may be run again."""
    return isinstance(error, BrokenExecutor) or type(error).__name__ in _DEATHS
