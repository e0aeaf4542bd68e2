"""ChunkSource: the batches of a chunk loader, in the loader's order, resumed exactly."""

import itertools
import json

import numpy as np
import pytest

jax = pytest.importorskip("jax")
import jax.numpy as jnp  # noqa: E402

import pyloader  # noqa: E402
from pyloader.errors import DataDirError, PyLoaderError, StateError  # noqa: E402
from pyloader.jax import BatchTransform, ChunkSource, DataLoader, MapTransform  # noqa: E402

pytestmark = pytest.mark.frameworks


@pytest.fixture(scope="module")
def chunks(tmp_path_factory):
    """103 samples in 7 chunks."""
    place = tmp_path_factory.mktemp("chunks") / "numbers"
    with pyloader.ChunkWriter(place, chunk_samples=16) as writer:
        for number in range(103):
            writer.write({"number": number, "square": np.float32(number) ** 2})
    return place


OPTIONS = {"batch_size": 8, "shuffle": True, "seed": 3, "last_batch": "pad", "num_epochs": None}


def chunk_loader(chunks, **options):
    return pyloader.DataLoader(data_dir=chunks, **{**OPTIONS, **options})


def make_loader(chunks, *more, **options):
    return DataLoader([ChunkSource(chunk_loader(chunks, **options)), *more])


def direct(chunks, num_steps, **options):
    """Return what the chunk loader itself delivers: (number, mask) of each batch."""
    with chunk_loader(chunks, **options) as loader:
        return [(batch["number"].tolist(), batch["mask"].tolist()) for batch in itertools.islice(loader, num_steps)]


def taken(loader, state, num_steps):
    found = []
    for _ in range(num_steps):
        batch, state, mask = loader.next(state)
        found.append((batch["number"].tolist(), mask.tolist()))
    return found, state


@pytest.mark.parametrize("options", [{}, {"num_workers": 0}, {"shuffle_window": 2}, {"num_epochs": 1}])
def test_two_epochs_are_those_of_the_loader(chunks, options):
    wanted = direct(chunks, 26, **{**options, "num_epochs": None})
    with make_loader(chunks, **options) as loader:
        assert loader.steps_per_epoch == 13
        state = loader.init_state(0)
        looped = [(b["number"].tolist(), m.tolist()) for _ in range(2) for b, m in loader.iterate(state)]
    assert looped == wanted
    assert sum(sum(mask) for _, mask in looped) == 2 * 103


@pytest.mark.parametrize("more", [(), (MapTransform(lambda batch, mask: {"number": batch["number"] + 0}),)])
def test_a_scan_and_a_jitted_scan_are_those_of_the_loader(chunks, more, monkeypatch):
    from pyloader.jax import chunk_source

    monkeypatch.setattr(chunk_source, "_MOST_STEPS", 4)  # three blocks, and one step more

    def collect(total, batch, mask):
        return total + 1, (batch["number"], mask)

    with make_loader(chunks, *more) as loader:
        state = loader.init_state(0)
        state, total, first = loader.scan_epoch(state, 0, collect)
        state, total, second = jax.jit(lambda state, total: loader.scan_epoch(state, total, collect))(state, total)
        numbers, masks = (np.concatenate(pair).tolist() for pair in zip(first, second, strict=True))
    assert list(zip(numbers, masks, strict=True)) == direct(chunks, 26)
    assert (int(total), int(state["step"])) == (26, 26)


def test_any_state_is_answered_at_the_price_of_resuming_there(chunks):
    wanted = direct(chunks, 30)
    with make_loader(chunks) as loader:
        states = [loader.init_state(0)]
        for _ in range(20):
            states.append(loader.next(states[-1])[1])
        for step in (19, 3, 4, 0, 14):
            assert taken(loader, states[step], 2)[0] == wanted[step : step + 2]


def test_a_state_saved_after_any_step_goes_on_in_another_process(chunks):
    wanted = direct(chunks, 28)
    with make_loader(chunks) as loader:
        state, saved = loader.init_state(0), []
        for _ in range(27):
            saved.append(json.dumps(loader.state_dict(state)))
            _, state, _ = loader.next(state)
    assert max(map(len, saved)) < 2000
    for step in (0, 1, 12, 13, 14, 25, 26):
        with make_loader(chunks) as loader:
            state = loader.load_state_dict(json.loads(saved[step]))
            assert taken(loader, state, 2)[0] == wanted[step : step + 2]


def test_a_state_of_another_order_is_refused(chunks):
    with make_loader(chunks) as loader:
        saved = loader.state_dict(loader.init_state(0))
    with make_loader(chunks, seed=4) as loader, pytest.raises(StateError, match="seed=3"):
        loader.load_state_dict(saved)


def test_a_loader_that_has_resumed_goes_on_where_it_stands(chunks):
    with chunk_loader(chunks) as first:
        for _ in range(5):
            next(first)
        saved = first.state_dict()
    resumed = chunk_loader(chunks)
    resumed.load_state_dict(saved)
    with DataLoader(ChunkSource(resumed)) as loader:
        assert taken(loader, loader.init_state(0), 3)[0] == direct(chunks, 8)[5:]


def test_rows_are_cut_anew_by_a_batch_transform(chunks):
    with make_loader(chunks, BatchTransform(5)) as loader:
        assert loader.steps_per_epoch == 21
        state = loader.init_state(0)
        numbers = [batch["number"][mask].tolist() for batch, mask in loader.iterate(state)]
    assert sorted(n for rows in numbers for n in rows) == list(range(103))
    assert {len(rows) for rows in numbers[:-1]} == {5}


def test_rows_that_stand_in_for_unreadable_ones_are_masked(tmp_path):
    with pyloader.ChunkWriter(tmp_path / "lines", chunk_samples=16, format="jsonl") as writer:
        for number in range(64):
            writer.write({"number": number})
    chunk = min((tmp_path / "lines").glob("*.jsonl"))
    chunk.write_text(
        chunk.read_text().replace('{"number":5}', '{"number":?}').replace('{"number": 5}', '{"number": ?}')
    )
    options = {"data_dir": tmp_path / "lines", "batch_size": 8, "last_batch": "pad", "max_skipped": 1}
    with DataLoader(ChunkSource(pyloader.DataLoader(**options))) as loader:
        state = loader.init_state(0)
        real = [n for batch, mask in loader.iterate(state) for n in batch["number"][mask].tolist()]
    assert sorted(real) == [n for n in range(64) if n != 5]


def test_an_error_in_reading_arrives_as_itself(chunks, tmp_path):
    class Broken(pyloader.Dataset):
        calls = 0

        def batch_encode(self, columns):
            Broken.calls += 1
            if Broken.calls > 3:
                raise LookupError("no such word")
            return columns

    with make_loader(chunks, dataset=Broken(), num_workers=0) as loader:
        state = loader.init_state(0)
        _, state = taken(loader, state, 3)
        for _ in range(2):
            with pytest.raises(LookupError, match="no such word"):
                loader.next(state)
        with pytest.raises(LookupError, match="no such word"):
            loader.scan_epoch(state, 0, lambda total, batch, mask: (total, None))


def test_a_batch_that_is_kept_is_not_written_over(chunks):
    with make_loader(chunks) as loader:
        state = loader.init_state(0)
        kept = [batch["number"] for batch, _ in loader.iterate(state, steps=26)]
        assert [values.tolist() for values in kept] == [values for values, _ in direct(chunks, 26)]


def test_batches_of_several_shapes_are_refused(chunks):
    with chunk_loader(chunks, last_batch="keep") as loader, pytest.raises(ValueError, match=r"7 rows, not 8.*pad"):
        ChunkSource(loader)


def test_text_is_refused_by_name(tmp_path):
    with pyloader.ChunkWriter(tmp_path / "text", chunk_samples=16) as writer:
        for number in range(32):
            writer.write({"text": str(number)})
    with (
        pyloader.DataLoader(data_dir=tmp_path / "text") as loader,
        pytest.raises(TypeError, match=r"'text' is none\. Make numbers of it in batch_encode"),
    ):
        ChunkSource(loader)


def test_chunks_without_counts_are_refused(chunks, tmp_path):
    (tmp_path / "a.csv").write_text("x\n1\n2\n")
    with pyloader.DataLoader(data_dir=tmp_path) as loader, pytest.raises(DataDirError, match="pyloader index"):
        ChunkSource(loader)
    with pytest.raises(TypeError, match=r"needs a pyloader\.DataLoader, got a str"):
        ChunkSource("chunks/")


def test_closing_closes_the_chunk_loader(chunks):
    loader = make_loader(chunks)
    state = loader.init_state(0)
    loader.close()
    with pytest.raises(PyLoaderError, match="is closed"):
        taken(loader, state, 2)  # the first may be there already


def test_numbers_that_do_not_fit_are_an_error(tmp_path):
    with pyloader.ChunkWriter(tmp_path / "large", chunk_samples=16) as writer:
        for number in range(32):
            writer.write({"id": 2**40 + number})
    with (
        DataLoader(ChunkSource(pyloader.DataLoader(data_dir=tmp_path / "large", batch_size=8))) as loader,
        pytest.raises(ValueError, match="do not fit into int32"),
    ):
        loader.next(loader.init_state(0))


def test_the_key_changes_nothing(chunks):
    with make_loader(chunks) as loader:
        assert taken(loader, loader.init_state(jax.random.key(1)), 2) == taken(loader, loader.init_state(2), 2)
        assert loader.element_spec()["square"].dtype == jnp.float32


@pytest.mark.parametrize("make", ["next", "scan"])
def test_a_state_that_a_jitted_function_closes_over_is_read_when_it_runs(chunks, make):
    def collect(total, batch, mask):
        return total, batch["number"]

    with make_loader(chunks) as loader:
        state = loader.init_state(0)
        if make == "next":
            step = jax.jit(lambda zero: loader.next(state)[0]["number"] + zero)
        else:
            step = jax.jit(lambda zero: loader.scan_epoch(state, zero, collect)[2][0])
        step.lower(0)
        assert loader._head.loader.steps_done == 0
        assert step(0).tolist() == step(0).tolist() == direct(chunks, 1)[0][0]
        assert loader._head.loader.steps_done == (1 if make == "next" else 13)
