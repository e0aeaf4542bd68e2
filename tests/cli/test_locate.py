"""`pyloader locate`: a state and the manifest say which samples a step has."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numbered import loader_of
from ranks import global_batches, rank_loaders, write_counted

from pyloader import ChunkWriter, DataLoader, PaddingDataCollator, World
from pyloader.cli.main import main

COUNTS = [9, 0, 12, 1, 18]


def a_state(directory, *, num_steps=2, **options):
    """A state after so many steps of one rank, in a file beside the chunks."""
    options = {"batch_size": 7, "shuffle": True, "last_batch": "pad", **options}
    with rank_loaders(directory, 1, num_epochs=None, **options)[0] as loader:
        for _ in range(num_steps):
            next(loader)
        path = directory.parent / "state.json"
        path.write_text(json.dumps(loader.state_dict()))
    return path


def located(capsys, *words):
    assert main(["locate", *map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def complaint(capsys, *words):
    assert main(["locate", *map(str, words)]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.count("\n") == 1
    return err


@pytest.mark.slow
@settings(max_examples=30)
@given(
    shuffle=st.booleans(),
    window=st.integers(1, 6),
    num_streams=st.integers(1, 4),
    share=st.integers(1, 5),
    last_batch=st.sampled_from(["drop", "pad", "wrap"]),
    num_steps=st.integers(0, 9),
)
def test_the_samples_of_every_step_are_those_that_the_loop_gets(
    tmp_path_factory, shuffle, window, num_streams, share, last_batch, num_steps
):
    directory = write_counted(tmp_path_factory.mktemp("data") / "chunks", COUNTS)
    options = {"shuffle": shuffle, "shuffle_window": window if shuffle else None, "last_batch": last_batch}
    options |= {"num_streams": num_streams, "batch_size": share * num_streams}
    state = a_state(directory, num_steps=num_steps, **options)
    first = {f"chunk-{index:04d}.numbered": sum(COUNTS[:index]) for index in range(len(COUNTS))}
    for step, ids in enumerate(global_batches(rank_loaders(directory, 1, num_epochs=None, **options), 12)):
        with pytest.MonkeyPatch.context() as patch:
            shown = []
            patch.setattr("builtins.print", shown.append)
            assert main(["locate", str(state), str(directory), "--step", str(step), "--json"]) == 0
        samples = json.loads(shown[0])["samples"]
        assert [first[sample["chunk"]] + sample["row"] for sample in samples] == ids
        assert [sample["stream"] for sample in samples] == [row // share for row in range(len(ids))]


def test_the_next_step_is_shown_unless_another_is_wanted(capsys, tmp_path):
    directory = write_counted(tmp_path / "chunks", COUNTS)
    state = a_state(directory, num_steps=3, shuffle=False)
    assert main(["locate", str(state), str(directory)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "step 3   epoch 0, step 3 of 6   7 samples, the next after the state",
        "stream   chunk                 row",
        "     0   chunk-0003.numbered     0",
        *(f"     0   chunk-0004.numbered     {row}" for row in range(6)),
    ]
    assert main(["locate", str(state), str(directory), "--step", "2"]) == 0
    assert "7 samples, 1 step before the next" in capsys.readouterr().out
    assert located(capsys, state, directory, "--step", 8)["step_of_epoch"] == 2


@pytest.mark.parametrize(("last_batch", "repeated"), [("pad", [5] * 2), ("wrap", [13, 14]), ("keep", [])])
def test_rows_that_fill_up_the_last_batch_are_told_apart(capsys, tmp_path, last_batch, repeated):
    directory = write_counted(tmp_path / "chunks", COUNTS)
    state = a_state(directory, shuffle=False, last_batch=last_batch, batch_size=6)
    samples = located(capsys, state, directory, "--step", 6)["samples"]
    assert [sample["row"] for sample in samples if not sample["repeated"]] == [14, 15, 16, 17]
    assert sum(sample["repeated"] for sample in samples) == len(repeated)
    assert main(["locate", str(state), str(directory), "--step", "6"]) == 0
    assert capsys.readouterr().out.count("   repeated, to fill up the batch") == len(repeated)


def test_rows_of_a_chunk_that_is_left_out_are_told_apart(capsys, tmp_path):
    directory = write_counted(tmp_path / "chunks", COUNTS)
    state = a_state(directory, shuffle=False)
    state.write_text(json.dumps({**json.loads(state.read_text()), "skipped_chunks": [2]}))
    samples = located(capsys, state, directory, "--step", 1)["samples"]
    assert [sample["row"] for sample in samples if sample["left_out"]] == [0, 1, 2, 3, 4]
    assert main(["locate", str(state), str(directory), "--step", "1"]) == 0
    assert capsys.readouterr().out.count("the chunk is left out: another row stands in") == 5


def test_nothing_is_read(capsys, tmp_path):
    directory = write_counted(tmp_path / "chunks", COUNTS)
    state = a_state(directory)
    for chunk in directory.glob("*.numbered"):
        chunk.write_text("#" * chunk.stat().st_size)
    assert len(located(capsys, state, directory)["samples"]) == 7


def test_a_state_is_found_inside_of_a_checkpoint(capsys, tmp_path):
    directory = write_counted(tmp_path / "chunks", COUNTS)
    state = a_state(directory)
    alone = located(capsys, state, directory)
    content = json.loads(state.read_text())
    state.write_text(json.dumps({"step": 2, "data": [{"train": content}]}))
    assert located(capsys, state, directory) == alone
    state.write_text(json.dumps({"train": content, "val": content}))
    assert "state.json: holds 2 states, under train and val." in complaint(capsys, state, directory)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[1, 2]", "holds no state of a DataLoader."),
        ("{", "is not JSON ("),
        ("[" * 100_000, "holds lists or objects inside of one another, too deep"),
    ],
)
def test_what_holds_no_state_is_refused(capsys, tmp_path, text, found):
    directory = write_counted(tmp_path / "chunks", COUNTS)
    (tmp_path / "other.json").write_text(text)
    err = complaint(capsys, tmp_path / "other.json", directory)
    assert err.startswith(f"pyloader locate: error: {tmp_path}/other.json: {found}")
    assert "Write json.dump(loader.state_dict(), file)" in err


def test_a_directory_where_the_state_should_be_is_told_apart(capsys, tmp_path):
    err = complaint(capsys, tmp_path, "2")
    assert err.startswith(f"pyloader locate: error: {tmp_path}: is a directory. The file of a state comes first: ")


def test_other_chunks_than_the_states_are_refused(capsys, tmp_path):
    state = a_state(write_counted(tmp_path / "chunks", COUNTS))
    err = complaint(capsys, state, write_counted(tmp_path / "others", [1, 2]))
    assert "was saved on other chunks: their names or sizes differ from those of" in err


def test_chunks_without_counts_are_refused_with_the_way_to_count(capsys, tmp_path):
    directory = write_counted(tmp_path / "chunks", COUNTS)
    state = a_state(directory)
    (directory / "manifest.json").unlink()
    with loader_of(directory) as loader:
        assert loader.steps_per_epoch is None
    assert f"Count them once: pyloader index {directory}" in complaint(capsys, state, directory)


def test_a_manifest_that_lacks_the_samples_is_refused(capsys, tmp_path):
    directory = write_counted(tmp_path / "chunks", COUNTS)
    state = a_state(directory)
    manifest = json.loads((directory / "manifest.json").read_text())
    for chunk in manifest["chunks"]:
        chunk["num_samples"] = 0
    (directory / "manifest.json").write_text(json.dumps(manifest))
    assert f"make no batch of 7. See what is wrong: pyloader verify {directory}" in complaint(capsys, state, directory)


@pytest.mark.parametrize(
    ("name", "value"), [("seed", -1), ("shuffle", "some"), ("batch_size", 0), ("num_streams", "2"), ("last_batch", 3)]
)
def test_a_state_that_was_changed_is_refused(capsys, tmp_path, name, value):
    directory = write_counted(tmp_path / "chunks", COUNTS)
    state = a_state(directory)
    state.write_text(json.dumps({**json.loads(state.read_text()), name: value}))
    assert f"the state has {name}={value!r}." in complaint(capsys, state, directory)


def test_a_step_below_0_is_refused(capsys, tmp_path):
    directory = write_counted(tmp_path / "chunks", COUNTS)
    assert "--step must be at least 0, got -1" in complaint(capsys, a_state(directory), directory, "--step", "-1")


@pytest.mark.slow
@pytest.mark.parametrize("packed", [False, True])
def test_rows_of_a_mixture_are_located_with_their_source_as_the_loader_does(capsys, tmp_path, packed):
    places = {name: tmp_path / name for name in ("web", "a=b")}
    for place, (directory, count) in enumerate(zip(places.values(), (50, 11), strict=True)):
        with ChunkWriter(directory, chunk_samples=9, format="columns") as writer:
            for row in range(count):
                writer.write({"tokens": [place] * (row % 7 + 1)})
    weights = [(0, {"web": 2, "a=b": 1}), (6, {"web": 1, "a=b": 1})]
    options = {"data_dir": places, "weights": weights, "on_exhausted": "repeat", "shuffle": True, "batch_size": 6}
    if packed:
        options |= {"pack": 8, "weight_by": "tokens"}
    else:
        options["datacollator"] = PaddingDataCollator()
    with DataLoader(num_steps=20, num_workers=0, world=World(0, 1, 2), **options) as loader:
        for _ in range(4):
            next(loader)
        (tmp_path / "state.json").write_text(json.dumps({"loader": loader.state_dict()}))
        words = [str(tmp_path / "state.json"), *(f"{name}={place}" for name, place in places.items())]
        typed = ["--weights", json.dumps(weights), *(["--weight-by", "tokens"] if packed else [])]
        for step in (None, 0, 17):
            shown = located(capsys, *words, *typed, *([] if step is None else ["--step", str(step)]))
            fields = ("source", "chunk", "row", *(("start", "stop") if packed else ()))
            expected = loader.locate(4 if step is None else step)
            assert [tuple(each[field] for field in fields) for each in shown["samples"]] == expected
    assert main(["locate", *words, *typed]) == 0
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith("step 4   ") and second.split()[:5] == ["stream", "source", "epoch", "chunk", "row"]
    assert "saved with other weights than these" in complaint(capsys, *words)
    assert "no source of this mixture. Name the chunks of each: pyloader locate" in complaint(capsys, *words[:2], "web")
    assert "--weights is no JSON" in complaint(capsys, *words, "--weights", "{")
