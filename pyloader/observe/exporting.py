"""Exporting: the numbers of `loader.metrics()`, given to what people watch their runs with.

Each function takes the outermost object of a loop: a DataLoader, or what wraps it.  Nothing of the exporters may end a
run: what fails is a warning in the log.
"""

from __future__ import annotations

import json
import os
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from pyloader.errors import import_optional
from pyloader.files.atomic import written_whole
from pyloader.observe.metrics import METRICS

__all__ = ["HasMetrics", "jsonl", "opentelemetry", "prometheus", "tensorboard", "wandb"]


class HasMetrics(Protocol):
    """A DataLoader, or what wraps it."""

    def metrics(self) -> dict[str, float]: ...
    def add_observer(
        self, observe: Callable[[dict[str, float]], Any], *, every: int = 50, every_seconds: float | None = None
    ) -> Callable[[], None]: ...


def prometheus(
    loader: HasMetrics,
    port: int | None = None,
    *,
    registry: Any = None,
    textfile: str | os.PathLike[str] | None = None,
    every_seconds: float = 10.0,
) -> None:
    """Export the metrics as `pyloader_NAME`, labelled with the rank; those that only grow end with `_total`.

    Args:
      loader: Whose metrics.  It may be garbage-collected; then there are none.
      port: Where prometheus_client serves its registry over HTTP; None where the program does that already.
      registry: A prometheus_client registry; None is its default.
      textfile: A file that is written anew every `every_seconds`, for the textfile collector of node_exporter: name it
        `*.prom`, one for each rank.  Then nothing is registered.
      every_seconds: How often, at most.

    Raises:
      MissingDependencyError: there is no prometheus_client; the message says what to install.
      ValueError: both a port and a textfile.
      OSError: the port is in use.
    """
    client = import_optional("prometheus_client", wanted_by="prometheus(loader)")
    if textfile is not None and port is not None:
        raise ValueError("prometheus(loader, ...) takes port= or textfile=, not both: call it twice for both")
    collector = _Collector(loader)
    if textfile is not None:
        path, own = Path(textfile), client.CollectorRegistry()
        own.register(collector)

        def write(_: dict[str, float]) -> None:
            with written_whole(path, synced=False) as partial:
                partial.write_bytes(client.generate_latest(own))

        loader.add_observer(write, every_seconds=every_seconds)
        return
    (client.REGISTRY if registry is None else registry).register(collector)
    if port is not None:
        client.start_http_server(port, registry=client.REGISTRY if registry is None else registry)


class _Collector:
    """What a registry asks whenever somebody reads it."""

    def __init__(self, loader: HasMetrics) -> None:
        self._loader = weakref.ref(loader)
        self._core = import_optional("prometheus_client.core", wanted_by="prometheus(loader)")

    def describe(self) -> list[Any]:
        return []  # so that registering does not ask

    def collect(self) -> Iterator[Any]:
        if (loader := self._loader()) is None:
            return
        metrics = loader.metrics()
        rank = str(int(metrics["rank"]))
        for name, value in metrics.items():
            name, _, source = name.partition("/")
            about = METRICS[name]
            kind = self._core.CounterMetricFamily if about.grows else self._core.GaugeMetricFamily
            family = kind(f"pyloader_{name}", about.meaning, labels=["rank", "source"] if source else ["rank"])
            family.add_metric([rank, source] if source else [rank], value)
            yield family


def opentelemetry(loader: HasMetrics, meter: Any) -> None:
    """Export the metrics as observable instruments `pyloader.NAME` of an OpenTelemetry meter, with the rank.

    Args:
      loader: Whose metrics.  It may be garbage-collected; then there are none.
      meter: `opentelemetry.metrics.get_meter("training")`.

    Raises:
      MissingDependencyError: there is no opentelemetry; the message says what to install.
    """
    observation = import_optional("opentelemetry.metrics", wanted_by="opentelemetry(loader, meter)").Observation
    found = weakref.ref(loader)

    def observe(name: str) -> Callable[[Any], list[Any]]:
        def observed(_: Any) -> list[Any]:
            metrics = {} if (loader := found()) is None else loader.metrics()
            return [observation(metrics[name], {"rank": int(metrics["rank"])})] if name in metrics else []

        return observed

    for name in METRICS:
        create = meter.create_observable_counter if METRICS[name].grows else meter.create_observable_gauge
        create(f"pyloader.{name}", callbacks=[observe(name)], unit=_unit(name), description=METRICS[name].meaning)


def tensorboard(loader: HasMetrics, writer: Any, *, every: int = 50) -> Callable[[], None]:
    """Write the metrics as scalars `data/NAME` over the step, every so many batches.

    Args:
      loader: Whose metrics.
      writer: A `torch.utils.tensorboard.SummaryWriter`, or anything with add_scalar(name, value, step).
      every: How many batches.

    Returns:
      A function that ends it.
    """

    def write(metrics: dict[str, float]) -> None:
        for name, value in metrics.items():
            writer.add_scalar(f"data/{name}", value, int(metrics["steps_done"]))

    return loader.add_observer(write, every=every)


def wandb(loader: HasMetrics, run: Any, *, every: int = 50) -> Callable[[], None]:
    """Add the metrics as `data/NAME` to what a Weights & Biases run logs next, every so many batches.

    Args:
      loader: Whose metrics.
      run: What `wandb.init()` returned.
      every: How many batches.

    Returns:
      A function that ends it.
    """
    # Without commit they have the step of the training script's own next log(), which it counts as it likes.
    return loader.add_observer(
        lambda metrics: run.log({f"data/{name}": value for name, value in metrics.items()}, commit=False), every=every
    )


def jsonl(loader: HasMetrics, path: str | os.PathLike[str], *, every: int = 50) -> Callable[[], None]:
    """Append the metrics to a file, a line of JSON every so many batches.

    Args:
      loader: Whose metrics.
      path: The file; of several ranks each wants its own.
      every: How many batches.

    Returns:
      A function that ends it.

    Raises:
      OSError: the file cannot be written.
    """
    with open(path, "a"):
        pass  # now, not after the first batch

    def write(metrics: dict[str, float]) -> None:
        with open(path, "a") as file:
            file.write(json.dumps(metrics) + "\n")

    return loader.add_observer(write, every=every)


def _unit(name: str) -> str:
    """Return the unit as UCUM spells it."""
    return {"seconds": "s", "bytes": "By"}.get(name.rpartition("_")[2], "1")
