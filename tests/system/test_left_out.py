"""What cannot be read or encoded is left out when the user says so: counted, listed, and no step is lost by it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numbered import NumberedReader, ids_of, loader_of
from ranks import global_batches, rank_loaders, through_json, write_counted

from pyloader import DataLoader, Dataset, NumpyDataCollator
from pyloader.cli.main import main
from pyloader.errors import BatchEncodeError, ChunkReadError, CollateError, FileError, StateError

COUNTS = [12, 7, 20, 9, 15, 11]
STARTS = np.cumsum([0, *COUNTS]).tolist()
SHUFFLED = {"shuffle": True, "shuffle_window": 3, "batch_size": 5}
ENGINES = [{"num_workers": 0}, {"num_workers": 3, "num_readers": 2}]
PROCESSES = pytest.param({"worker_kind": "process", "num_workers": 1, "num_readers": 1}, marks=pytest.mark.slow)


def rows_of_chunk(index: int) -> set[int]:
    return set(range(STARTS[index], STARTS[index + 1]))


class Damaged(NumberedReader):
    """Cannot read chunks 1 and 4."""

    def read_file(self, path):
        if path.endswith(("0001.numbered", "0004.numbered")):
            raise ChunkReadError(path, "ends early.")
        return super().read_file(path)


class Mended(Damaged):
    """The same once the files can be read again."""

    def read_file(self, path):
        return NumberedReader.read_file(self, path)


class Fussy(Dataset):
    """Cannot encode some samples; and changes what it gets."""

    def __init__(self, *bad: int) -> None:
        self.bad = bad

    def batch_encode(self, columns):
        columns["row"] /= 2
        if found := set(columns["id"].tolist()) & set(self.bad):
            raise ValueError(f"cannot encode {sorted(found)}")
        columns["row"] *= 2
        return columns


class TestSamples:
    """A sample that is bad where it can be left out, of whatever source."""

    BAD = (3, 40, 41)
    OPTIONS: ClassVar[dict[str, Any]] = {"batch_size": 8, "window": 3, "max_skipped": 3}

    @staticmethod
    def fails(bad: Iterable[int]) -> Callable[[np.ndarray], None]:
        def on_sample(ids: np.ndarray) -> None:
            if found := set(ids.tolist()) & set(bad):
                raise ValueError(f"cannot have {sorted(found)}")

        return on_sample

    @pytest.mark.parametrize("engine", [*ENGINES, PROCESSES])
    def test_another_of_the_batch_stands_in_so_that_no_step_is_lost(self, source, engine):
        options = {**self.OPTIONS, "last_batch": "pad", "num_epochs": 2}
        whole = list(source.loader(COUNTS, **options))
        with source.loader(COUNTS, on_sample=self.fails(self.BAD), **options, **engine) as loader:
            batches, stats = list(loader), loader.stats()
        assert len(batches) == len(whole)
        for batch, expected in zip(batches, whole, strict=True):
            good = batch["id"][batch["mask"]].tolist()
            assert set(batch["id"].tolist()) <= set(good)
            places = zip(batch["id"].tolist(), batch["mask"].tolist(), expected["id"].tolist(), strict=True)
            for number, is_sample, wanted in places:
                assert not is_sample if wanted in self.BAD else number == wanted
        assert (stats.stand_ins, len(stats.skipped)) == (6, 3)
        assert all("cannot have" in reason for reason in stats.skipped.values())

    @pytest.mark.slow
    def test_each_state_goes_on_with_the_next_batch(self, source):
        with source.loader(COUNTS, on_sample=self.fails(self.BAD), **self.OPTIONS) as loader:
            states, batches = [loader.state_dict()], []
            for batch in loader:
                batches += ids_of([batch])
                states.append(through_json(loader.state_dict()))
        for step, state in enumerate(states):
            with source.loader(COUNTS, on_sample=self.fails(self.BAD), **self.OPTIONS, num_workers=0) as loader:
                loader.load_state_dict(state)
                assert ids_of(loader) == batches[step:]

    @pytest.mark.parametrize("num_workers", [0, 2])
    def test_one_more_is_an_error_as_itself_after_the_batches_before_it(self, source, num_workers):
        options = {"batch_size": 5, "max_skipped": 1, "num_workers": num_workers}
        with source.loader(COUNTS, on_sample=self.fails([3, 22]), **options) as loader:
            assert len([next(loader) for _ in range(4)]) == 4
            for _ in range(2):
                with pytest.raises(ValueError, match=r"cannot have \[22\]") as caught:
                    next(loader)
            assert "max_skipped" in "".join(caught.value.__notes__)
            assert loader.steps_done == 4

    def test_a_batch_without_one_good_sample_is_an_error(self, source):
        with (
            source.loader(COUNTS, on_sample=self.fails(range(6)), batch_size=6, max_skipped="100%") as loader,
            pytest.raises(ValueError, match="cannot have"),
        ):
            next(loader)

    def test_without_it_the_first_is_an_error(self, source):
        with (
            source.loader(COUNTS, on_sample=self.fails([3]), batch_size=6) as loader,
            pytest.raises(ValueError, match="cannot have"),
        ):
            next(loader)


class TestChunks:
    @pytest.mark.parametrize("engine", [*ENGINES, PROCESSES])
    @pytest.mark.parametrize("last_batch", ["keep", "drop", "pad", "wrap"])
    def test_rows_of_another_chunk_stand_in_so_that_no_step_is_lost(self, tmp_path, last_batch, engine):
        directory = write_counted(tmp_path, COUNTS)
        options = {**SHUFFLED, "data_dir": directory, "last_batch": last_batch, "num_epochs": 2}
        whole = ids_of(DataLoader(NumberedReader(), **options))
        with DataLoader(Damaged(), **options, **engine, max_skipped=2) as loader:
            batches = list(loader)
            stats = loader.stats()
        lost = rows_of_chunk(1) | rows_of_chunk(4)
        assert len(batches) == len(whole) == len(loader)
        for batch, expected in zip(ids_of(batches), whole, strict=True):
            for number, wanted in zip(batch, expected, strict=True):
                assert number not in lost if wanted in lost else number == wanted
        assert stats.stand_ins + stats.dropped >= 2 * len(lost)
        assert {Path(path).name for path in stats.skipped} == {"chunk-0001.numbered", "chunk-0004.numbered"}
        if last_batch == "pad":
            masked = sum(int((~batch["mask"]).sum()) for batch in batches)
            assert masked == stats.stand_ins + stats.filled

    def test_every_engine_and_rank_count_delivers_the_same(self, tmp_path):
        directory = write_counted(tmp_path, COUNTS)
        options: dict[str, Any] = {**SHUFFLED, "last_batch": "drop", "max_skipped": 2, "num_epochs": 2}
        runs = [
            global_batches(rank_loaders(directory, size, num_streams=4, reader=Damaged(), **options, **engine))
            for size, options in [(1, {**options, "batch_size": 20}), (4, options)]
            for engine in ENGINES
        ]
        assert all(run == runs[0] for run in runs)
        assert len(runs[0]) == 2 * (sum(COUNTS) // 20)

    def test_nothing_is_lost_where_nobody_has_counted_but_the_chunks_left_out(self, tmp_path):
        directory = write_counted(tmp_path, COUNTS)
        (directory / "manifest.json").unlink()
        with DataLoader(Damaged(), data_dir=directory, **SHUFFLED, max_skipped=2) as loader:
            found = {number for batch in ids_of(loader) for number in batch}
        assert found == set(range(STARTS[-1])) - rows_of_chunk(1) - rows_of_chunk(4)

    @pytest.mark.slow
    @pytest.mark.parametrize("counted", [True, False])
    def test_a_state_goes_on_the_same_even_when_the_chunk_can_be_read_again(self, tmp_path, counted):
        directory = write_counted(tmp_path, COUNTS)
        if not counted:
            (directory / "manifest.json").unlink()
        options = {**SHUFFLED, "data_dir": directory, "max_skipped": 2, "num_epochs": 2}
        states, batches = [], []
        with DataLoader(Damaged(), **options) as loader:
            states.append(loader.state_dict())
            for batch in loader:
                batches.append(batch)
                states.append(loader.state_dict())
        everything = ids_of(batches)
        for reader in (Damaged(), Mended()):
            for number, state in enumerate(states):
                if reader.__class__ is Mended and len(state.get("skipped_chunks", [])) < 2:
                    continue  # what it goes on with is another run then, in which the chunk can be read
                with DataLoader(reader, **options, num_workers=0) as resumed:
                    resumed.load_state_dict(through_json(state))
                    assert ids_of(resumed) == everything[number:]
        assert states[-1]["skipped_chunks"] == [1, 4]
        assert "skipped_chunks" not in states[0]

    def test_the_state_does_not_depend_on_what_was_read_ahead(self, tmp_path):
        with loader_of(write_counted(tmp_path, COUNTS), batch_size=5, max_skipped=2) as loader:
            next(loader)
            loader._quarantine.note_chunk(2, ChunkReadError("chunk-0002", "ends early."), epoch=0, number=2)
            seen = []
            for _ in loader:
                seen.append(loader.state_dict().get("skipped_chunks"))
        rows_before = [5 * step for step in range(2, len(seen) + 2)]
        assert seen == [[2] if rows > STARTS[2] else None for rows in rows_before]

    def test_a_state_that_lists_no_chunks_is_refused(self, tmp_path):
        loader = loader_of(write_counted(tmp_path, COUNTS))
        with pytest.raises(StateError, match="the state has skipped_chunks='all'"):
            loader.load_state_dict({**loader.state_dict(), "skipped_chunks": "all"})

    def test_one_chunk_more_than_allowed_is_its_own_error(self, tmp_path):
        directory = write_counted(tmp_path, COUNTS)
        for engine in ENGINES:
            with DataLoader(Damaged(), data_dir=directory, batch_size=4, max_skipped=1, **engine) as loader:
                received = []
                with pytest.raises(ChunkReadError, match=r"0004.numbered: ends early") as caught:
                    received.extend(iter(lambda loader=loader: next(loader), None))
                assert len(received) == STARTS[4] // 4
                assert "max_skipped allows no more" in "".join(caught.value.__notes__)

    def test_skipping_steps_and_locating_them_go_with_it(self, tmp_path):
        directory = write_counted(tmp_path, COUNTS)
        everything = ids_of(DataLoader(Damaged(), data_dir=directory, **SHUFFLED, max_skipped=2))
        with DataLoader(Damaged(), data_dir=directory, **SHUFFLED, max_skipped=2) as loader:
            assert len(loader.locate(3)) == 5
            loader.skip(4)
            assert ids_of(loader) == everything[4:]

    def test_a_file_with_another_count_than_its_manifest_says_is_left_out_too(self, tmp_path):
        directory = write_counted(tmp_path, COUNTS)
        (directory / "chunk-0002.numbered").write_text("19 19")  # as many bytes
        with loader_of(directory, **SHUFFLED, max_skipped=1) as loader:
            assert len(list(loader)) == len(loader)
            assert "returned 19 samples; the manifest says 20" in str(loader.stats())


class TestRows:
    @pytest.fixture
    def chunks(self, tmp_path: Path) -> Path:
        dump = tmp_path / "dump.jsonl"
        dump.write_text("".join(json.dumps({"id": row, "text": f"row {row}"}) + "\n" for row in range(60)))
        assert main(["split", str(dump), str(tmp_path / "chunks"), "--num-chunks", "4", "--to", "jsonl", "-q"]) == 0
        return tmp_path / "chunks"

    def damage(self, chunks: Path, number: int, row: int) -> int:
        """Spoil a line without changing the file's size, and return the id that it had."""
        path = sorted(chunks.glob("*.jsonl"))[number]
        lines = path.read_bytes().splitlines(keepends=True)
        found = json.loads(lines[row])["id"]
        lines[row] = b"?" + lines[row][1:]
        path.write_bytes(b"".join(lines))
        return int(found)

    @pytest.mark.parametrize("options", [*ENGINES, PROCESSES])
    def test_a_line_that_cannot_be_read_is_a_hole_that_another_row_fills(self, chunks, tmp_path, options):
        lost = {self.damage(chunks, 1, 0), self.damage(chunks, 1, 7), self.damage(chunks, 3, 14)}
        quarantine = tmp_path / "bad.jsonl"
        options = {"shuffle": True, "batch_size": 8, "last_batch": "pad", **options}
        with DataLoader(data_dir=chunks, max_skipped=3, quarantine=quarantine, num_epochs=2, **options) as loader:
            batches = list(loader)
            stats = loader.stats()
        assert len(batches) == 16
        for epoch in (batches[:8], batches[8:]):
            real = [number for batch in epoch for number in batch["id"][batch["mask"]].tolist()]
            assert sorted(real) == sorted(set(range(60)) - lost)
        assert stats.stand_ins == 6
        written = [json.loads(line) for line in quarantine.read_text().splitlines()]
        assert {(Path(entry["file"]).name, entry["row"]) for entry in written} == {
            (sorted(chunks.glob("*.jsonl"))[number].name, row) for number, row in [(1, 0), (1, 7), (3, 14)]
        }
        assert all("is not JSON" in entry["error"] and entry["stage"] == "read" for entry in written)
        assert len(written) == len(stats.skipped) == 3

    def test_a_row_with_other_fields_is_a_hole_in_a_csv_file(self, tmp_path):
        (tmp_path / "a.csv").write_text("x,y\n1,2\n3\n5,6\n")
        with DataLoader(data_dir=tmp_path, batch_size=3, max_skipped=1) as loader:
            assert next(loader)["x"].tolist() == [1, 5, 5]
            assert "a.csv, row 1" in str(loader.stats())

    def test_a_file_without_a_good_row_is_a_chunk_left_out(self, tmp_path):
        (tmp_path / "a.jsonl").write_text('{"x": 1}\n{"x": 2}\n')
        (tmp_path / "b.jsonl").write_text("?\n")
        with DataLoader(data_dir=tmp_path, batch_size=2, max_skipped=1) as loader:
            assert [batch["x"].tolist() for batch in loader] == [[1, 2]]
            assert list(loader.stats().skipped) == [str(tmp_path / "b.jsonl")]

    @pytest.mark.parametrize("options", [*ENGINES, PROCESSES])
    def test_a_row_that_cannot_be_encoded_is_a_hole_that_another_row_fills(self, tmp_path, options):
        directory = write_counted(tmp_path / "chunks", COUNTS)
        options = {"data_dir": directory, **SHUFFLED, "last_batch": "pad", **options}
        bad = {3, 40, 41}
        whole = ids_of(DataLoader(NumberedReader(), **{**options, "worker_kind": "thread"}))
        quarantine = tmp_path / "bad.jsonl"
        with DataLoader(NumberedReader(), Fussy(*bad), max_skipped=3, quarantine=quarantine, **options) as loader:
            batches = list(loader)
        assert len(batches) == len(whole)
        for batch, expected in zip(batches, whole, strict=True):
            for number, is_sample, wanted in zip(ids_of([batch])[0], batch["mask"], expected, strict=True):
                assert (number not in bad and not is_sample) if wanted in bad else number == wanted
        real = [number for batch in batches for number in batch["id"][batch["mask"]].tolist()]
        assert sorted(real) == sorted(set(range(STARTS[-1])) - bad)
        written = [json.loads(line) for line in quarantine.read_text().splitlines()]
        places = {(Path(entry["file"]).name, entry["row"]) for entry in written}
        assert places == {("chunk-0000.numbered", 3), ("chunk-0003.numbered", 1), ("chunk-0003.numbered", 2)}
        assert all(entry["error"].startswith("ValueError: cannot encode") for entry in written)

    @pytest.mark.parametrize("engine", [*ENGINES, PROCESSES])
    def test_one_row_more_than_allowed_is_its_own_error_after_the_batches_before_it(self, tmp_path, engine):
        directory = write_counted(tmp_path, COUNTS)
        with DataLoader(
            NumberedReader(), Fussy(3, 22), data_dir=directory, batch_size=5, max_skipped=1, **engine
        ) as loader:
            assert len([next(loader) for _ in range(4)]) == 4
            for _ in range(2):
                with pytest.raises(ValueError, match=r"cannot encode \[22\]") as caught:
                    next(loader)
            assert "chunk-0002.numbered row 3" in "".join(caught.value.__notes__)
            assert loader.steps_done == 4

    def test_an_encoder_that_fails_on_every_row_is_the_encoders_fault(self, tmp_path):
        directory = write_counted(tmp_path, COUNTS)
        loader = DataLoader(NumberedReader(), Fussy(*range(12)), data_dir=directory, batch_size=6, max_skipped="100%")
        with loader, pytest.raises(ValueError, match=r"cannot encode \[0, 1, 2, 3, 4, 5\]"):
            next(loader)

    def test_rows_that_fail_only_together_are_no_rows_fault(self, tmp_path):
        class Ragged(Dataset):
            def batch_encode(self, columns):
                return {"x": [np.zeros(number % 2 + 1) for number in columns["id"].tolist()]}

        class Strict(NumpyDataCollator):
            def collate_batch(self, columns):
                if len({len(row) for row in columns["x"]}) > 1:
                    raise CollateError("rows of several lengths.")
                return columns

        class Short(Dataset):
            def batch_encode(self, columns):
                return {"x": columns["id"][: 2 if len(columns["id"]) > 2 else None]}

        directory = write_counted(tmp_path, COUNTS)
        for dataset, collator, error in [(Ragged(), Strict(), CollateError), (Short(), None, BatchEncodeError)]:
            with (
                DataLoader(NumberedReader(), dataset, collator, directory, batch_size=6, max_skipped=6) as loader,
                pytest.raises(error),
            ):
                next(loader)

    def test_a_share_is_of_the_rows_as_well(self, tmp_path):
        options = {"data_dir": write_counted(tmp_path, COUNTS), "batch_size": 37}
        with DataLoader(NumberedReader(), Fussy(3, 40), **options, max_skipped="3%") as loader:  # of 74
            assert len(list(loader)) == 2
        with (
            DataLoader(NumberedReader(), Fussy(3, 40), **options, max_skipped="2%") as loader,
            pytest.raises(ValueError, match="cannot encode"),
        ):
            list(loader)

    def test_a_quarantine_that_cannot_be_written_is_an_error(self, tmp_path):
        options = {"data_dir": write_counted(tmp_path, COUNTS), "max_skipped": 1, "batch_size": 4}
        with pytest.raises(FileError, match=r"cannot be written down here: .*no is no directory. Give quarantine="):
            DataLoader(NumberedReader(), Fussy(3), **options, quarantine=tmp_path / "no" / "bad.jsonl")
        with (
            DataLoader(NumberedReader(), Fussy(3), **options, quarantine=tmp_path) as loader,
            pytest.raises(FileError, match="cannot be written down here"),
        ):
            next(loader)
