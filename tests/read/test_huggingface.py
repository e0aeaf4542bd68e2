"""Hugging Face datasets on disk: what save_to_disk wrote comes back, without the datasets package."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from part_copies import check_parts

from pyloader import DataCollator, DataLoader, Ragged
from pyloader.cli.main import main
from pyloader.errors import ChunkReadError, DataDirError
from pyloader.files import list_chunks
from pyloader.read import HuggingFaceReader, reader_for
from pyloader.testing import check_reader

pa = pytest.importorskip("pyarrow")

MEDIA = pa.struct({"bytes": pa.binary(), "path": pa.string()})
FEATURES = {
    "label": {"names": ["no", "yes"], "_type": "ClassLabel"},
    "image": {"_type": "Image"},
    "matrix": {"shape": [2, 3], "dtype": "float32", "_type": "Array2D"},
}
MATRICES = np.arange(120, dtype=np.float32).reshape(20, 2, 3)
TABLE = pa.table(
    {
        "text": [f"text {number} é" for number in range(20)],
        "label": pa.array([number % 2 for number in range(20)], pa.int64()),
        "tokens": pa.array([list(range(number)) for number in range(20)], pa.list_(pa.int32())),
        "image": pa.array([{"bytes": b"x" * number, "path": f"{number}.png"} for number in range(20)], MEDIA),
        "matrix": pa.array(MATRICES.tolist(), pa.list_(pa.list_(pa.float32()))),
        "pair": pa.array([[number, 0.5] for number in range(20)], pa.list_(pa.float32(), 2)),
        "words": [["a", "b"], []] * 10,
        "box": [{"x": number, "y": None} for number in range(20)],
    }
)


class AsTheyAre(DataCollator):
    def collate_batch(self, columns):
        return columns


def written(path, table=TABLE, features=FEATURES, *, close=True) -> str:
    """Write a file as datasets does: a stream, with the features beside the schema."""
    said = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    with pa.OSFile(str(path), "wb") as file:
        stream = pa.ipc.new_stream(file, table.schema.with_metadata(said))
        for batch in table.to_batches(max_chunksize=7):
            stream.write_batch(batch)
        if close:
            stream.close()
    return str(path)


def saved(place, number=2) -> None:
    """Write the files of save_to_disk, and what others leave beside them."""
    place.mkdir()
    names = [f"data-{index:05}-of-{number:05}.arrow" for index in range(number)]
    for index, name in enumerate(names):
        written(place / name, TABLE.slice(index * 20 // number, 20 // number))
    written(place / "cache-0123456789abcdef.arrow")
    written(place / "data-00000-of-00001.arrow")
    (place / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names]}))
    (place / "dataset_info.json").write_text(json.dumps({"features": FEATURES}))


@pytest.mark.slow
def test_columns_are_arrays_ragged_or_lists_by_their_features(tmp_path):
    path = written(tmp_path / "a.arrow")
    columns = check_reader(HuggingFaceReader(), path)
    assert list(columns) == TABLE.column_names
    np.testing.assert_array_equal(columns["matrix"], MATRICES)
    assert columns["matrix"].dtype == np.float32
    assert columns["tokens"] == Ragged.from_rows([np.arange(number, dtype=np.int32) for number in range(20)])
    assert columns["image"] == Ragged.from_rows([b"x" * number for number in range(20)])
    assert columns["pair"].shape == (20, 2)
    for name in ("text", "words", "box"):
        assert columns[name] == TABLE[name].to_pylist()
    assert HuggingFaceReader().class_names(path) == {"label": ["no", "yes"]}


def test_paths_of_pictures_come_where_they_are_asked_for(tmp_path):
    columns, _ = HuggingFaceReader(columns=["image.path", "label"]).read_file(written(tmp_path / "a.arrow"))
    assert list(columns) == ["image.path", "label"]
    assert columns["image.path"] == [f"{number}.png" for number in range(20)]
    for names in (["label.path"], ["none"]):
        with pytest.raises(ChunkReadError, match=rf"a\.arrow: has columns \['text', .*\], and no '{names[0]}'"):
            HuggingFaceReader(columns=names).read_file(str(tmp_path / "a.arrow"))


def test_a_picture_that_is_only_named_is_an_error_and_one_that_is_not_there_is_none(tmp_path):
    values = [{"bytes": b"x", "path": None}, {"bytes": None, "path": "/far/away.png"}]
    path = written(tmp_path / "a.arrow", pa.table({"image": pa.array(values, MEDIA)}))
    with pytest.raises(
        ChunkReadError, match=r"row 2: 'image' has no bytes, but a path, '/far/away\.png'\. Other files"
    ):
        HuggingFaceReader().read_file(path)
    path = written(tmp_path / "b.arrow", pa.table({"image": pa.array([*values[:1], None], MEDIA)}))
    assert HuggingFaceReader(dtypes={"image": object}).read_file(path)[0] == {"image": [b"x", None]}
    assert HuggingFaceReader(fill={"image": b""}).read_file(path)[0]["image"].to_list() == [b"x", b""]
    with pytest.raises(
        ChunkReadError, match=r"b\.arrow: row 2: 'image' is null, and is to be ragged\. Say what stands"
    ):
        HuggingFaceReader().read_file(path)


def test_columns_of_object_are_lists_with_a_null_or_without(tmp_path):
    table = pa.table({"n": pa.array([[1, 2], None], pa.list_(pa.int8())), "m": pa.array([[1, None], [2]])})
    columns, _ = HuggingFaceReader(ragged=False).read_file(written(tmp_path / "a.arrow", table, {}))
    assert columns == {"n": [[1, 2], None], "m": [[1, None], [2]]}
    columns, _ = HuggingFaceReader(dtypes={"tokens": object}).read_file(written(tmp_path / "b.arrow"))
    assert columns["tokens"] == TABLE["tokens"].to_pylist()


def test_features_that_lie_are_not_believed(tmp_path):
    for features in ({"matrix": {"shape": [3, 2]}}, {"matrix": {"shape": ["2", 3]}}, {"matrix": 5}, [], None):
        columns, _ = HuggingFaceReader().read_file(written(tmp_path / "a.arrow", features=features))
        assert columns["matrix"] == MATRICES.tolist()


def test_parts_are_whole_record_batches(tmp_path):
    path = tmp_path / "a.arrow"
    written(path)
    parts = check_parts(HuggingFaceReader(), path, tmp_path, chunk_samples=10)
    assert [part.num_samples for part in parts] == [7, 7, 6]
    parts = check_parts(HuggingFaceReader(), path, tmp_path / "b", chunk_samples=14)
    assert [part.num_samples for part in parts] == [14, 6]
    assert len(check_parts(HuggingFaceReader(), path, tmp_path / "c")) == 1


def test_columns_with_a_dictionary_are_read_and_not_cut(tmp_path):
    table = pa.table({"kind": pa.array(["a", "b"] * 10).dictionary_encode()})
    path = written(tmp_path / "a.arrow", table)
    assert HuggingFaceReader().find_parts(path, chunk_bytes=1) is None
    assert HuggingFaceReader().read_file(path)[0]["kind"] == ["a", "b"] * 10


def test_a_saved_dataset_is_what_its_state_lists(tmp_path):
    saved(tmp_path / "train")
    assert list_chunks(tmp_path / "train").names == ("data-00000-of-00002.arrow", "data-00001-of-00002.arrow")
    assert type(reader_for(tmp_path / "train" / "data-00000-of-00002.arrow")) is HuggingFaceReader
    with DataLoader(
        HuggingFaceReader(columns=["label", "matrix"]), data_dir=tmp_path / "train", num_epochs=1
    ) as loader:
        assert sorted(batch for step in loader for batch in step["matrix"][:, 0, 0].tolist()) == list(range(0, 120, 6))
    for text, match in (
        ("[", "damaged"),
        ("{}", "damaged"),
        ('{"_data_files": [{"filename": "../a.arrow"}]}', "no name"),
    ):
        (tmp_path / "train" / "state.json").write_text(text)
        with pytest.raises(DataDirError, match=rf"train .*state\.json.*{match}.*Save it again"):
            list_chunks(tmp_path / "train")
    (tmp_path / "train" / "state.json").write_text('{"_data_files": [{"filename": "none.arrow"}]}')
    with pytest.raises(DataDirError, match=r"lists none\.arrow in state\.json, which is not there"):
        list_chunks(tmp_path / "train")


def test_an_indexed_dataset_gives_the_same_columns_by_its_manifest(tmp_path):
    saved(tmp_path / "train")
    assert main(["index", str(tmp_path / "train"), "--chunk-samples", "3", "--quiet"]) == 0
    options = {"batch_size": 20, "num_epochs": 1, "datacollator": AsTheyAre()}
    with DataLoader(data_dir=tmp_path / "train", **options) as loader:
        (columns,) = loader
    np.testing.assert_array_equal(columns["matrix"], MATRICES)
    assert columns["tokens"].to_list() == TABLE["tokens"].to_pylist()
    assert columns["text"] == TABLE["text"].to_pylist()


def test_dtypes_are_those_named_also_of_several_dimensions(tmp_path):
    path = written(tmp_path / "a.arrow")
    columns, _ = HuggingFaceReader(dtypes={"matrix": ("float64", (2, 3)), "label": "int8"}).read_file(path)
    assert (columns["matrix"].dtype, columns["label"].dtype) == (np.float64, np.int8)
    assert HuggingFaceReader(dtypes={"matrix": object}).read_file(path)[0]["matrix"] == MATRICES.tolist()


def test_other_files_called_state_json_are_chunks_like_others(tmp_path):
    written(tmp_path / "a.arrow")
    (tmp_path / "state.json").write_text("{}")
    assert list_chunks(tmp_path).names == ("a.arrow", "state.json")


def test_a_cut_stream_is_an_error_wherever_it_is_cut(tmp_path):
    path = tmp_path / "a.arrow"
    written(path)
    whole = path.read_bytes()
    for length in (*range(0, len(whole), 97), len(whole) - 8, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(
            ChunkReadError, match=r"a\.arrow: (ends early|is damaged, or no Arrow stream).*Fetch it again"
        ):
            HuggingFaceReader().read_file(str(path))
    written(path, close=False)
    with pytest.raises(ChunkReadError, match=r"a\.arrow: ends early: at .* neither a batch begins nor the stream ends"):
        HuggingFaceReader().read_file(str(path))


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::FutureWarning")  # pyarrow 15 says that it does not
def test_a_type_that_brings_a_pickle_is_not_run(tmp_path):
    import os
    import pickle

    class Harm:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "harm"),)

    said = {b"ARROW:extension:name": b"arrow.py_extension_type", b"ARROW:extension:metadata": pickle.dumps(Harm())}
    schema = pa.schema([pa.field("x", pa.int64(), metadata=said)])
    path = written(tmp_path / "a.arrow", pa.table([pa.array([1, 2])], schema), {})
    try:
        columns, _ = HuggingFaceReader().read_file(path)
        assert list(columns["x"]) == [1, 2]
    except ChunkReadError:
        pass
    assert not (tmp_path / "harm").exists()


def test_what_datasets_saved_comes_back_also_where_datasets_is_imported(tmp_path):
    datasets = pytest.importorskip("datasets")
    pytest.importorskip("PIL")
    features = datasets.Features(
        {
            "text": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["no", "yes"]),
            "tokens": datasets.Sequence(datasets.Value("int32")),
            "image": datasets.Image(),
            "matrix": datasets.Array2D((2, 3), "float32"),
        }
    )
    rows = {name: TABLE[name].to_pylist() for name in features}
    whole = datasets.Dataset.from_dict(rows, features=features)
    datasets.disable_progress_bars()
    datasets.DatasetDict(train=whole).save_to_disk(tmp_path / "saved", num_shards={"train": 3})
    chunks = list_chunks(tmp_path / "saved" / "train")
    assert len(chunks) == 3
    assert list_chunks(tmp_path / "saved").names[0] == f"train/{chunks.names[0]}"
    assert "datasets" in sys.modules
    read = [check_reader(reader_for(chunks.path(index)), chunks.path(index)) for index in range(3)]
    assert [text for columns in read for text in columns["text"]] == rows["text"]
    np.testing.assert_array_equal(np.concatenate([columns["matrix"] for columns in read]), MATRICES)
    images = Ragged.concatenate([columns["image"] for columns in read])
    assert images == Ragged.from_rows([row["bytes"] for row in rows["image"]])
    assert HuggingFaceReader().class_names(chunks.path(0)) == {"label": ["no", "yes"]}
