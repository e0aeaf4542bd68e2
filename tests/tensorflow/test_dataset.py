"""A loader as a tf.data.Dataset: every batch, in its order, with a state that is the loop's."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numbered import ids_of, loader_of, write_chunks
from ranks import write_counted

from pyloader import DataCollator, DataLoader, Dataset, Packing, PaddingDataCollator
from pyloader.errors import CollateError, StateError
from scripts import finished, start_script

tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")
pytestmark = pytest.mark.frameworks

from pyloader.tensorflow import TensorFlowDataCollator, as_tf_dataset  # noqa: E402

STEPS = 10


@pytest.fixture
def chunks(tmp_path: Path) -> Path:
    return write_counted(tmp_path / "chunks", [10, 7, 12, 9])


def shuffled(chunks: Path, **options: Any) -> Any:
    return loader_of(chunks, shuffle=True, batch_size=4, **options)


def ids(batches: Any) -> list[list[int]]:
    return [batch["id"].numpy().tolist() for batch in batches]


def pairs(dataset: Any) -> Any:
    return dataset.map(lambda batch: (batch["row"], tf.cast(batch["id"], tf.float32)))


def small_model() -> Any:
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


@pytest.mark.parametrize("text", [False, True])
def test_every_for_is_an_epoch(chunks: Path, text: bool) -> None:
    dataset = as_tf_dataset(shuffled(chunks, text=text))
    assert isinstance(dataset, tf.data.Dataset)
    assert [batch for _ in range(3) for batch in ids(dataset)] == ids_of(shuffled(chunks, num_epochs=3))
    assert (dataset.epochs_done, dataset.steps_done, dataset.steps_per_epoch) == (3, 3 * STEPS, STEPS)
    dataset.close()


def test_packed_rows_come_with_the_bounds_of_their_documents(tmp_path: Path) -> None:
    (tmp_path / "chunk.jsonl").write_text('{"tokens": [1, 2, 3]}\n{"tokens": [4, 5]}\n' * 8)
    dataset = as_tf_dataset(DataLoader(data_dir=tmp_path, pack=Packing(length=8, max_documents=2), batch_size=2))
    for batch in dataset:
        bounds = batch["cu_seqlens"].numpy()
        assert bounds.shape == (7,) and batch["max_seqlen"].numpy() == np.diff(bounds).max()
    dataset.close()


@pytest.mark.parametrize("prefetch", [1, 5])
def test_its_state_is_that_of_the_batch_last_taken_out(chunks: Path, prefetch: int) -> None:
    everything = ids_of(shuffled(chunks, num_epochs=2))
    dataset, states = as_tf_dataset(shuffled(chunks), prefetch=prefetch), []
    for _ in range(2):
        for _ in dataset:
            states.append(json.loads(json.dumps(dataset.state_dict())))
            assert dataset.steps_done == len(states)
    for number in (1, 4, STEPS - 1, STEPS, STEPS + 1):
        resumed = as_tf_dataset(shuffled(chunks))
        resumed.load_state_dict(states[number - 1])
        assert [batch for _ in range(2) for batch in ids(resumed)][: 2 * STEPS - number] == everything[number:]
        resumed.close()
    dataset.close()


def test_a_for_after_break_goes_on_and_peek_uses_nothing_up(chunks: Path) -> None:
    everything = ids_of(shuffled(chunks))
    dataset = as_tf_dataset(shuffled(chunks), prefetch=4)
    got = ids(islice(dataset, 3))
    assert dataset.peek()["id"].tolist() == everything[3]
    got += ids(islice(dataset, 3))
    got += ids(dataset)
    assert got == everything
    assert dataset.stats().num_steps == STEPS
    dataset.reset()
    assert ids(dataset) == everything
    dataset.close()


def test_the_iterator_before_says_that_another_has_begun(chunks: Path) -> None:
    dataset = as_tf_dataset(shuffled(chunks, num_epochs=None), prefetch=1)
    before = iter(dataset)
    next(before)
    everything = ids_of(islice(shuffled(chunks, num_epochs=None), 4))
    assert ids(islice(dataset, 3)) == everything[1:]
    with pytest.raises(tf.errors.OpError, match=r"another iterator of this tf.data.Dataset has begun"):
        for _ in range(9):  # those that were ready
            next(before)
    dataset.close()


def test_the_wrapped_loader_says_to_ask_the_outermost(chunks: Path) -> None:
    loader = shuffled(chunks)
    dataset = as_tf_dataset(loader)
    with pytest.raises(StateError, match="Ask the outermost: the LoaderDataset's state_dict"):
        loader.state_dict()
    dataset.close()


def test_an_epoch_of_keras_is_an_epoch_of_the_loader(chunks: Path) -> None:
    dataset = as_tf_dataset(shuffled(chunks, num_epochs=None))
    seen: list[int] = []
    count = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(dataset.steps_done))
    history = small_model().fit(
        pairs(dataset), epochs=3, steps_per_epoch=STEPS, shuffle=False, verbose=0, callbacks=[count]
    )
    assert len(history.history["loss"]) == 3
    assert seen == list(range(1, 3 * STEPS + 1))
    dataset.close()


@pytest.mark.filterwarnings("ignore:Your input ran out of data")  # Keras' way to find out how long an epoch is
def test_keras_goes_through_a_loader_that_ends(chunks: Path) -> None:
    dataset = as_tf_dataset(shuffled(chunks))
    small_model().fit(pairs(dataset), epochs=3, shuffle=False, verbose=0)
    assert (dataset.epochs_done, dataset.steps_done) == (3, 3 * STEPS)
    dataset.close()


def test_an_error_of_the_loader_comes_with_its_message_after_the_good_batches(tmp_path: Path) -> None:
    chunks = write_chunks(tmp_path / "chunks", [8, 8])
    (chunks / "chunk-0001.numbered").write_text("no numbers")
    dataset, got = as_tf_dataset(loader_of(chunks, batch_size=4)), []
    for _ in range(2):
        with pytest.raises(
            tf.errors.OpError, match=r"(?s)ValueError: invalid literal.*NumberedReader read .*chunk-0001"
        ):
            got.extend(batch["id"].numpy().tolist() for batch in dataset)
    assert got == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert dataset.steps_done == 2
    with pytest.raises(tf.errors.OpError, match="invalid literal"):
        small_model().fit(pairs(dataset), shuffle=False, verbose=0)
    dataset.close()


class Ragged(Dataset):
    def batch_encode(self, columns: Any) -> Any:
        return {"ids": [list(range(1 + number % 5)) for number in columns["id"].tolist()], "row": columns["row"]}


def test_sizes_that_change_are_announced_or_an_error_says_how(chunks: Path) -> None:
    def loader() -> Any:
        return loader_of(chunks, batch_size=2, datacollator=PaddingDataCollator(), num_epochs=1)

    def ragged() -> Any:
        made = loader()
        return type(made)(made._options.run.reader, Ragged(), PaddingDataCollator(), chunks, batch_size=2)

    dataset = as_tf_dataset(ragged(), varying=["ids"])
    assert dataset.element_spec["ids"].shape.as_list() == [None, None]
    assert dataset.element_spec["row"].shape.as_list() == [None, 2]
    assert {batch["ids"].shape[1] for batch in dataset} >= {2, 4, 5}
    dataset.close()
    wrong = as_tf_dataset(ragged())
    with pytest.raises(tf.errors.OpError, match=r"Where it changes, write as_tf_dataset\(loader, varying=\['ids'\]\)"):
        list(wrong)
    wrong.close()
    with pytest.raises(ValueError, match=r"varying names \['id'\]; the batches have \['ids', 'row'\]"):
        as_tf_dataset(ragged(), varying=["id"])


class Pairs(DataCollator):
    def collate_batch(self, columns: Any) -> Any:
        return columns["row"], {"label": columns["id"], "numbers": [columns["id"], columns["id"]]}


def test_batches_may_be_tuples_and_nested(chunks: Path) -> None:
    dataset = as_tf_dataset(shuffled(chunks, datacollator=Pairs()))
    rows, rest = next(iter(dataset))
    assert rows[:, 0].numpy().tolist() == rest["label"].numpy().tolist() == rest["numbers"][1].numpy().tolist()
    dataset.close()


def test_a_loader_that_makes_tensors_will_do(chunks: Path) -> None:
    dataset = as_tf_dataset(shuffled(chunks, datacollator=TensorFlowDataCollator()))
    assert ids(dataset) == ids_of(shuffled(chunks))
    dataset.close()


class Dates(DataCollator):
    def collate_batch(self, columns: Any) -> Any:
        return {"when": columns["id"].astype("M8[D]")}


def test_what_tensorflow_cannot_hold_is_an_error_at_once(chunks: Path) -> None:
    with pytest.raises(CollateError, match=r"'when' is datetime64\[D\]"):
        as_tf_dataset(shuffled(chunks, datacollator=Dates()))


class Kinds(Dataset):
    def batch_encode(self, columns: Any) -> Any:
        values = columns["id"].tolist()
        return {"x": values if values[0] else [float(value) for value in values]}


def test_a_dtype_that_changes_is_an_error_that_says_how_to_settle_it(chunks: Path) -> None:
    reader = loader_of(chunks)._options.run.reader
    loader = type(loader_of(chunks))(reader, Kinds(), None, chunks, batch_size=4)
    with pytest.raises(tf.errors.OpError, match=r"'x' is int64 in this batch, and float64 in the first. Settle it"):
        list(as_tf_dataset(loader))
    loader.close()


@pytest.mark.parametrize("leave", ["", "dataset.close()"])
def test_a_program_that_leaves_its_loop_ends(chunks: Path, leave: str) -> None:
    script = f"""
        import sys, warnings
        warnings.simplefilter("default")
        from numbered import loader_of
        from pyloader.tensorflow import as_tf_dataset

        dataset = as_tf_dataset(loader_of(sys.argv[1], batch_size=4, num_epochs=None))
        batches = iter(dataset)
        next(batches)
        {leave}
    """
    code, _, errors = finished(start_script(chunks.parent, script), timeout=60)
    assert code == 0, errors
    assert "Traceback" not in errors


def test_the_end_of_a_program_ends_what_tensorflow_goes_on_asking_for(chunks: Path) -> None:
    script = """
        import atexit, sys
        taken = iter([])
        atexit.register(lambda: print(next(taken, "ended")))  # runs after those that are registered later
        from numbered import loader_of
        from pyloader.tensorflow import as_tf_dataset

        dataset = as_tf_dataset(loader_of(sys.argv[1], batch_size=4, num_epochs=None))
        taken = dataset._feed.numbered()
        next(taken)
    """
    code, output, errors = finished(start_script(chunks.parent, script), timeout=60)
    assert (code, output) == (0, "ended\n"), errors


def test_an_iterator_ends_when_its_dataset_is_closed_and_the_next_one_says_that_it_is(chunks: Path) -> None:
    dataset = as_tf_dataset(loader_of(chunks, batch_size=4, num_epochs=None))
    taken = dataset._feed.numbered()  # what tf.data's thread asks, ahead of the loop
    next(taken)
    dataset.close()
    assert list(taken) == []
    with pytest.raises(tf.errors.OpError, match="this DataLoader is closed"):
        next(iter(dataset))


def test_the_memory_of_a_batch_that_is_kept_is_not_used_again(tmp_path: Path) -> None:
    chunks = write_chunks(tmp_path / "chunks", [20_000] * 6)
    dataset = as_tf_dataset(loader_of(chunks, batch_size=5_000, shuffle=True))
    kept = [(batch["id"], batch["id"].numpy().copy()) for batch in dataset]
    assert all(np.array_equal(tensor.numpy(), copy) for tensor, copy in kept)
    assert sorted(np.concatenate([copy for _, copy in kept]).tolist()) == list(range(120_000))
    dataset.close()
