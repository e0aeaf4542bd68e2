"""Exporting: what Prometheus, OpenTelemetry, TensorBoard, W&B and a file get is what `metrics()` says."""

from __future__ import annotations

import json
import re
import urllib.request

import pytest
from numbered import loader_of, write_chunks

from pyloader import observe
from pyloader.errors import MissingDependencyError


@pytest.fixture
def loader(tmp_path):
    with loader_of(write_chunks(tmp_path / "chunks", [10] * 4), batch_size=2) as made:
        yield made


@pytest.mark.slow
def test_prometheus_reads_the_numbers_over_http_whenever_it_asks(loader):
    client = pytest.importorskip("prometheus_client")
    registry = client.CollectorRegistry()
    observe.prometheus(loader, registry=registry)
    server, thread = client.start_http_server(0, addr="127.0.0.1", registry=registry)
    try:
        for expected in (0, 3):
            while loader.steps_done < expected:
                next(loader)
            with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/metrics") as answer:
                text = answer.read().decode()
            assert f'pyloader_steps_total{{rank="0"}} {expected}.0' in text
            assert f'pyloader_steps_done{{rank="0"}} {expected}.0' in text
            assert "# TYPE pyloader_data_wait_seconds_total counter" in text
            assert "# TYPE pyloader_exposed_wait_fraction gauge" in text
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_loader_that_is_gone_has_no_metrics(tmp_path):
    client = pytest.importorskip("prometheus_client")
    registry = client.CollectorRegistry()
    observe.prometheus(loader_of(write_chunks(tmp_path / "chunks", [10])), registry=registry)
    assert client.generate_latest(registry) == b""


def test_the_textfile_of_prometheus_is_written_whole(loader, tmp_path):
    pytest.importorskip("prometheus_client")
    observe.prometheus(loader, textfile=tmp_path / "pyloader.prom")
    list(loader)
    assert 'pyloader_samples_total{rank="0"} 40.0' in (tmp_path / "pyloader.prom").read_text()
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["pyloader.prom"]
    with pytest.raises(ValueError, match="port= or textfile="):
        observe.prometheus(loader, port=1, textfile="x.prom")


def test_opentelemetry_observes_the_numbers_with_their_units(loader):
    metrics = pytest.importorskip("opentelemetry.sdk.metrics")
    reader = metrics.export.InMemoryMetricReader()
    provider = metrics.MeterProvider([reader])
    observe.opentelemetry(loader, provider.get_meter("training"))
    for _ in range(4):
        next(loader)
    (scope,) = reader.get_metrics_data().resource_metrics[0].scope_metrics
    found = {metric.name: metric for metric in scope.metrics}
    point = found["pyloader.steps"].data.data_points[0]
    assert (point.value, dict(point.attributes)) == (4, {"rank": 0})
    assert found["pyloader.data_wait_seconds"].unit == "s" and found["pyloader.read_bytes"].unit == "By"
    assert set(found) == {f"pyloader.{name}" for name in loader.metrics()}
    provider.shutdown()


def test_tensorboard_gets_a_scalar_for_each_over_the_step(loader):
    class Writer:
        def __init__(self):
            self.written = []

        def add_scalar(self, name, value, step):
            self.written.append((name, value, step))

    writer = Writer()
    end = observe.tensorboard(loader, writer, every=10)
    for _ in range(12):
        next(loader)
    end()
    list(loader)
    assert [(value, step) for name, value, step in writer.written if name == "data/steps"] == [(1, 1), (10, 10)]


@pytest.mark.frameworks
def test_tensorboards_own_writer_takes_them(loader, tmp_path):
    tensorboard = pytest.importorskip("torch.utils.tensorboard")
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with tensorboard.SummaryWriter(tmp_path / "events") as writer:
        observe.tensorboard(loader, writer, every=10)
        list(loader)
    read = events.EventAccumulator(str(tmp_path / "events")).Reload()
    assert [(event.step, event.value) for event in read.Scalars("data/samples")] == [(1, 2), (10, 20), (20, 40)]


def test_wandb_gets_them_with_its_next_log(loader):
    class Run:
        def __init__(self):
            self.logged = []

        def log(self, values, commit):
            self.logged.append((values["data/samples"], commit))

    run = Run()
    observe.wandb(loader, run, every=10)
    list(loader)
    assert run.logged == [(2, False), (20, False), (40, False)]


def test_a_file_gets_a_line_of_json(loader, tmp_path):
    observe.jsonl(loader, tmp_path / "metrics.jsonl", every=10)
    list(loader)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["steps"] for line in lines] == [1, 10, 20] and lines[-1].keys() == loader.metrics().keys()
    with pytest.raises(OSError, match=re.escape(str(tmp_path))):
        observe.jsonl(loader, tmp_path)


@pytest.mark.parametrize(
    ("module", "call", "package"),
    [
        ("prometheus_client", lambda loader: observe.prometheus(loader), "prometheus_client"),
        ("opentelemetry.metrics", lambda loader: observe.opentelemetry(loader, None), "opentelemetry-api"),
    ],
)
def test_a_package_that_is_not_there_is_named(loader, monkeypatch, module, call, package):
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(MissingDependencyError, match=f"pip install {package}"):
        call(loader)
