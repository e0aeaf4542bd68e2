"""Tracing: the file holds what happened in some steps, in the format that viewers read, and nothing is left behind."""

from __future__ import annotations

import gc
import json
from itertools import islice, pairwise

import numpy as np
import pytest
from browser import look_at_trace

from pyloader import DataLoader, Dataset, indexed, split
from pyloader.run.adapters import LoaderAdapter


class Lengths(Dataset):
    """The lengths of texts."""

    def batch_encode(self, columns):
        return {"length": [len(text) for text in columns["text"]]}


@pytest.fixture(scope="module")
def chunks(tmp_path_factory):
    """20 chunks of 30 lines."""
    place = tmp_path_factory.mktemp("lines")
    (place / "dump.jsonl").write_text("".join(json.dumps({"text": "x" * (n % 50)}) + "\n" for n in range(600)))
    split(place / "dump.jsonl", place / "chunks", chunk_samples=30)
    return place / "chunks"


def loader_of(chunks, **options):
    return DataLoader(None, Lengths(), data_dir=chunks, batch_size=10, shuffle=True, world=None, **options)


def checked(path):
    """Return the events of a trace, by name, having checked that it has the Trace Event Format."""
    trace = json.loads(path.read_text())
    assert set(trace) <= {"traceEvents", "displayTimeUnit", "otherData"}
    found, named, tracks = {}, set(), {}
    for event in trace["traceEvents"]:
        assert {"name", "ph", "ts", "pid", "tid", "args"} <= event.keys()
        assert all(isinstance(event[number], int) for number in ("pid", "tid"))
        if event["ph"] == "M":
            assert event["name"] in ("thread_name", "process_name")
            assert event["args"].keys() == {"name"}
            named.add((event["pid"], event["tid"]) if event["name"] == "thread_name" else event["pid"])
            continue
        assert event["ph"] == "X"
        assert event["dur"] >= 0
        assert isinstance(event["ts"], int) and isinstance(event["dur"], int), "of floats viewers find overlaps"
        found.setdefault(event["name"], []).append(event)
        tracks.setdefault((event["pid"], event["tid"]), []).append((event["ts"], event["ts"] + event["dur"]))
    for track, spans in tracks.items():
        assert {track, track[0]} <= named
        ends = [float("inf")]
        for begin, end in sorted(spans, key=lambda span: (span[0], -span[1])):
            while begin >= ends[-1]:
                ends.pop()
            assert end <= ends[-1], "spans of a thread lie inside of each other, or apart"
            ends.append(end)
    return found


@pytest.mark.parametrize("options", [{}, {"num_workers": 0}, {"num_workers": 2, "num_readers": 2}], ids=str)
def test_each_step_has_its_wait_and_its_work_and_the_chunks_have_their_names(chunks, tmp_path, options):
    with loader_of(chunks, **options, num_epochs=2) as loader:
        loader.trace(tmp_path / "trace.json", steps=range(40, 70))
        assert sum(1 for _ in loader) == 120
    found = checked(tmp_path / "trace.json")
    assert [event["args"]["after_step"] for event in found["loop"]] == list(range(39, 69))
    assert {event["args"]["for_step"] for event in found.get("wait", [])} <= set(range(40, 70))
    for one, other in pairwise(found["loop"]):
        assert one["ts"] + one["dur"] <= other["ts"]
    names = {path.name for path in chunks.iterdir()}
    assert {event["args"]["what"] for event in found["read"]} <= names
    made = [event for event in found["batch"] if "rows" in event["args"]]
    assert all(event["args"]["rows"] == 10 for event in made)
    assert {"shuffle", "encode", "collate"} <= found.keys()
    assert {"epoch 0, step 59", "epoch 1, step 5"} <= {event["args"]["what"] for event in made} or options != {
        "num_workers": 0
    }


def test_a_trace_of_the_first_steps_has_the_first_read(chunks, tmp_path):
    with loader_of(chunks, shuffle_window=4) as loader:
        loader.trace(tmp_path / "trace.json", steps=range(3))
        for _ in loader:
            pass
    found = checked(tmp_path / "trace.json")
    assert len(found["read"]) >= 4
    assert found["wait"][0]["args"]["for_step"] == 0


@pytest.mark.frameworks  # Perfetto's viewer, in a browser
@pytest.mark.timeout(240)  # on a busy machine the viewer takes most of a minute to begin
def test_perfetto_reads_a_trace_without_an_error_and_loses_nothing(chunks, tmp_path):
    with loader_of(chunks, num_workers=2, num_readers=2, num_epochs=2) as loader:
        loader.trace(tmp_path / "trace.json", steps=range(10, 110))
        for _ in loader:
            pass
    seen = look_at_trace(tmp_path / "trace.json")
    assert seen["errors"] == []
    written = {name: len(events) for name, events in checked(tmp_path / "trace.json").items()}
    assert {row["name"]: int(row["number"]) for row in seen["slices"]} == written
    assert {row["process"] for row in seen["threads"]} == {"pyloader"}
    assert "the loop" in {row["name"] for row in seen["threads"]}


@pytest.mark.slow
def test_processes_have_tracks_of_their_own(chunks, tmp_path):
    pytest.importorskip("cloudpickle")
    with loader_of(chunks, num_workers=1, worker_kind="process") as loader:
        loader.trace(tmp_path / "trace.json", steps=range(60))
        for _ in loader:
            pass
    found = checked(tmp_path / "trace.json")
    (own,) = {event["pid"] for event in found["loop"]}
    (maker,) = {event["pid"] for event in found["encode"]}
    (reader,) = {event["pid"] for event in found["read_file"]}
    assert len({own, maker, reader}) == 3
    assert {event["pid"] for event in found["shuffle"]} == {own}


def test_a_run_that_ends_before_the_last_step_leaves_what_there_is_and_says_so(chunks, tmp_path, caplog):
    with loader_of(chunks) as loader:
        loader.trace(tmp_path / "trace.json", steps=range(50, 1000))
        for _ in islice(loader, 55):
            pass
    assert len(checked(tmp_path / "trace.json")["loop"]) == 5
    assert "has 5 of the 950 steps of steps=range(50, 1000): the loader was closed after 55. " in caplog.text


def test_steps_after_the_runs_end_are_a_warning_that_names_those_that_came(chunks, tmp_path, caplog):
    with loader_of(chunks) as loader:
        loader.trace(tmp_path / "trace.json", steps=range(100, 120))
        assert sum(1 for _ in loader) == 60
        assert not caplog.text  # another `for` may bring them
    assert checked(tmp_path / "trace.json") == {}
    (record,) = caplog.records
    assert record.getMessage() == (
        f"the trace {tmp_path / 'trace.json'} has 0 of the 20 steps of steps=range(100, 120): "
        "the loader was closed after 60. Write steps=range(40, 60), or let it run for longer"
    )
    caplog.clear()
    with loader_of(chunks) as loader:
        loader.trace(tmp_path / "trace.json", steps=range(100, 120))
        assert [sum(1 for _ in loader) for _ in range(2)] == [60, 60]
    assert len(checked(tmp_path / "trace.json")["loop"]) == 20
    assert not caplog.text


def test_a_loader_that_is_not_closed_says_it_when_it_is_forgotten(chunks, tmp_path, caplog):
    loader = loader_of(chunks, num_workers=0)
    loader.trace(tmp_path / "trace.json", steps=range(100, 120))
    del loader
    gc.collect()
    assert "has 0 of the 20 steps of steps=range(100, 120). Let the loader run for longer" in caplog.text


def test_a_resumed_run_counts_its_steps_on(chunks, tmp_path):
    with loader_of(chunks) as loader:
        for _ in islice(loader, 30):
            pass
        state = loader.state_dict()
    with loader_of(chunks) as loader:
        loader.load_state_dict(state)
        with pytest.raises(ValueError, match=r"range\(10, 20\) are over: 30 are done. Write steps=range\(30, 40\)"):
            loader.trace(tmp_path / "trace.json", steps=range(10, 20))
        loader.trace(tmp_path / "trace.json", steps=range(30, 40))
        for _ in loader:
            pass
    found = checked(tmp_path / "trace.json")
    assert [event["args"]["after_step"] for event in found["loop"]] == list(range(29, 39))


def test_an_adapter_and_items_are_traced_too(chunks, tmp_path):
    with loader_of(chunks) as inner:
        adapter = LoaderAdapter(inner, dict, size=2)
        adapter.trace(tmp_path / "trace.json", steps=range(5, 10))
        for _ in adapter:
            pass
    assert len(checked(tmp_path / "trace.json")["loop"]) == 5
    with indexed.DataLoader({"x": np.arange(200)}, batch_size=10, num_epochs=1, num_workers=1) as loader:
        loader.trace(tmp_path / "items.json", steps=range(20))
        for _ in loader:
            pass
    assert "take" in checked(tmp_path / "items.json")


def test_after_the_last_step_nothing_is_wrapped_any_more(chunks, tmp_path):
    with loader_of(chunks, num_epochs=2) as loader:
        loader.trace(tmp_path / "trace.json", steps=range(5, 10))
        for _ in islice(loader, 7):
            pass
        steps = loader._counters.steps()
        assert all(step._fn is not step._own_fn for step in steps._steps if hasattr(step, "_fn"))
        with pytest.raises(ValueError, match=r"trace\.json is a trace until step 9: begin the next one after that"):
            loader.trace(tmp_path / "other.json", steps=range(20, 30))
        for _ in islice(loader, 3):
            pass
        assert all(step._fn is step._own_fn for step in steps._steps if hasattr(step, "_fn"))
        assert loader._counters.observers.due_step == float("inf")
        loader.trace(tmp_path / "other.json", steps=range(20, 30))
        for _ in loader:
            pass
    assert len(checked(tmp_path / "other.json")["loop"]) == 10


def test_a_traced_run_delivers_the_same_batches(chunks, tmp_path):
    with loader_of(chunks) as loader:
        untraced = [batch["length"].tolist() for batch in loader]
    with loader_of(chunks) as loader:
        loader.trace(tmp_path / "trace.json", steps=range(10, 20))
        assert [batch["length"].tolist() for batch in loader] == untraced


def test_an_error_is_shown_where_it_happened(chunks, tmp_path):
    class Broken(Dataset):
        def batch_encode(self, columns):
            raise KeyError("no such key")

    with DataLoader(None, Broken(), data_dir=chunks, batch_size=10, world=None) as loader:
        loader.trace(tmp_path / "trace.json", steps=range(10))
        with pytest.raises(KeyError):
            next(loader)
    assert checked(tmp_path / "trace.json")["batch"][0]["args"]["error"] == "KeyError"


@pytest.mark.parametrize(
    ("steps", "error", "message"),
    [
        ((0, 10), TypeError, r"must be a range, such as range\(100, 120\), got \(0, 10\)"),
        (range(0), ValueError, "one after another"),
        (range(0, 10, 2), ValueError, "one after another"),
        (range(-3, 10), ValueError, "one after another"),
    ],
)
def test_steps_that_are_none_are_refused(chunks, tmp_path, steps, error, message):
    with loader_of(chunks) as loader, pytest.raises(error, match=message):
        loader.trace(tmp_path / "trace.json", steps=steps)
    assert not (tmp_path / "trace.json").exists()


def test_a_file_that_cannot_be_written_is_an_error_at_once(chunks, tmp_path):
    with loader_of(chunks) as loader, pytest.raises(FileNotFoundError, match="nowhere"):
        loader.trace(tmp_path / "nowhere" / "trace.json", steps=range(10))
