"""AudioDataset makes one array of samples a batch, and says which rows are no sounds."""

from __future__ import annotations

import pickle
import sys
from typing import Any

import numpy as np
import pytest

from pyloader import AudioDataset, Ragged
from pyloader.errors import BadRowsError, BatchEncodeError, MissingDependencyError

pytest.importorskip("soundfile")
pytest.importorskip("soxr")

from tones import encoded_tone, tone

SOUNDS = [encoded_tone(seconds, rate) for seconds, rate in ((0.5, 16000), (2.0, 8000), (1.0, 44100))]
KEYS = np.random.default_rng(3).integers(0, 2**63, 3).astype(np.uint64)
LABELS = np.arange(3)


def encoded(sounds: Any = SOUNDS, keys: Any = KEYS, **options: Any) -> dict[str, Any]:
    return AudioDataset(**options).batch_encode({"audio": sounds, "label": LABELS}, keys)


def test_a_batch_is_one_array_with_lengths_and_other_columns_stay() -> None:
    batch = encoded(seconds=1.0)
    assert (batch["audio"].shape, batch["audio"].dtype) == ((3, 16000), np.dtype(np.float32))
    assert batch["audio_length"].tolist() == [8000, 16000, 16000]
    assert not batch["audio"][0, 8000:].any()
    assert np.allclose(batch["audio"][0, :8000], tone(0.5, 16000), atol=1e-3)
    assert batch["label"] is LABELS
    assert encoded(seconds=0.25, mono=False, sample_rate=8000)["audio"].shape == (3, 2000, 2)


def test_memory_that_is_used_again_has_zeros_behind_a_short_sound() -> None:
    dataset = AudioDataset(seconds=2.0)
    for _ in range(3):
        batch = dataset.batch_encode({"audio": SOUNDS}, KEYS)
        assert not batch["audio"][0, 8000:].any()
        batch["audio"][...] = 7
        del batch


def test_a_row_hears_what_its_key_says_whatever_the_batch() -> None:
    whole = encoded(seconds=0.25)["audio"]
    assert np.array_equal(whole, encoded(SOUNDS[::-1], KEYS[::-1], seconds=0.25)["audio"][::-1])
    assert not np.array_equal(whole, encoded(keys=KEYS ^ np.uint64(1), seconds=0.25)["audio"])


def test_the_start_and_the_middle_need_no_keys() -> None:
    start = encoded(keys=None, seconds=0.25, crop="start")["audio"]
    assert np.allclose(start[0], tone(0.5, 16000)[:4000], atol=1e-3)
    middle = encoded(keys=None, seconds=0.25, crop="center")["audio"]
    assert np.allclose(middle[0], tone(0.5, 16000)[2000:6000], atol=1e-3)
    with pytest.raises(BatchEncodeError, match=r"draws from the rows' keys, and there are none\. Use crop='start'"):
        encoded(keys=None, seconds=0.25)


def test_without_seconds_whole_sounds_are_ragged() -> None:
    batch = encoded(keys=None)
    assert isinstance(batch["audio"], Ragged)
    assert (batch["audio"].dtype, batch["audio_length"].tolist()) == (np.dtype(np.float32), [8000, 32000, 16000])
    assert np.allclose(batch["audio"][0], tone(0.5, 16000), atol=1e-3)


@pytest.mark.parametrize("column", [Ragged.from_rows(SOUNDS), [np.frombuffer(sound, np.uint8) for sound in SOUNDS]])
def test_bytes_may_be_ragged_or_arrays_of_uint8(column: Any) -> None:
    assert np.array_equal(encoded(column, seconds=0.25)["audio"], encoded(seconds=0.25)["audio"])


def test_an_own_augmentation_gets_samples_and_keys_and_replaces_the_samples() -> None:
    louder = encoded(seconds=0.1, augment=lambda samples, keys: samples * (1 + keys[:, None] * 2.0**-63))["audio"]
    assert np.allclose(louder, encoded(seconds=0.1)["audio"] * (1 + KEYS[:, None] * 2.0**-63))


@pytest.mark.parametrize("seconds", [0.1, None])
def test_all_bad_rows_are_told_in_one_call(seconds: float | None) -> None:
    with pytest.raises(
        BadRowsError, match=r"^row 1 of the batch: 'audio' is empty; 1 more of the batch cannot"
    ) as found:
        encoded([SOUNDS[0], b"", b"notes on a sound"], seconds=seconds)
    assert found.value.bad_rows.keys() == {1, 2}


def test_a_column_that_is_not_there_is_named() -> None:
    with pytest.raises(BatchEncodeError, match=r"no column 'wav' of sounds, but 'audio', 'label'\. Name it"):
        encoded(column="wav")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"sample_rate": 0}, "sample_rate must be at least 1 Hz"),
        ({"seconds": 1e-5}, "is less than one sample at 16,000 Hz"),
        ({"mono": False}, "always of one channel: leave out mono=False"),
        ({"crop": "middle"}, "crop must be 'random', 'start' or 'center', got 'middle'"),
        ({"max_seconds": 0}, "max_seconds must be above 0"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(options: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        AudioDataset(**options)


def test_it_travels_to_other_processes() -> None:
    copy = pickle.loads(pickle.dumps(AudioDataset(seconds=0.1, crop="start")))
    assert np.array_equal(copy.batch_encode({"audio": SOUNDS})["audio"], encoded(seconds=0.1, crop="start")["audio"])


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soxr", None)
    with pytest.raises(MissingDependencyError, match="AudioDataset, to resample, needs 'soxr'"):
        encoded(seconds=0.1)
    assert encoded(SOUNDS[:1], KEYS[:1], seconds=0.1)["audio"].shape == (1, 1600)  # where there is nothing to resample
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(MissingDependencyError, match="AudioDataset needs 'soundfile'"):
        AudioDataset()
