"""AudioDataset: a column of encoded sounds -> samples, one array a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pyloader.columns import Columns
from pyloader.dataset import Dataset
from pyloader.encode.needed import needed_column, needed_keys, refuse_rows
from pyloader.encode.sounds.windows import SoundFault, read_window
from pyloader.errors import import_optional
from pyloader.machine.memory import RecycledMemory
from pyloader.plan import uniform_numbers
from pyloader.ragged import Ragged
from pyloader.thread_safety import is_thread_safe

__all__ = ["AudioDataset"]

_PLACES = {"start": 0.0, "center": 0.5}


class AudioDataset(Dataset):
    """Makes samples of a column of encoded sounds: WAV, FLAC, Ogg (Vorbis, Opus), MP3 or AIFF, as bytes.

    Of each sound a window is decoded, and no more than that: seconds of an hour take as long as seconds of a minute.
    A shorter sound is followed by zeros.  Other columns stay what they are, and one is added: "<column>_length", int64
    of shape [rows], how many samples are of the sound.  Threads decode side by side: what does the work lets go of the
    interpreter's lock.

    Where a window begins depends on the row's key alone: on the seed, the epoch and the sample, not on workers, ranks,
    or whether a run resumed.

    Args:
      column: The column of sounds, as bytes: a `Ragged`, or a list.
      sample_rate: Of the samples, in Hz; sounds of other rates are resampled, by soxr.
      seconds: How long a window is; None gives the whole of each sound, as a `Ragged`.
      mono: Whether the channels of a sound are averaged.  False gives two: a sound of one has it twice, and one of more
        than two is a bad row.  Whole sounds are always of one.
      crop: Where a window begins: "random" draws it from the row's key, "start" and "center" are the same in every
        epoch.
      augment: Called with the samples and the keys, uint64 [rows], or None where there are none; returns what takes
        their place: an array of as many rows.  With whole sounds it gets the `Ragged`.
      max_seconds: How long a sound may be that is decoded as a whole.

    Raises:
      MissingDependencyError: soundfile is not installed; the message says what to install.
      ValueError: an argument is none of these.
    """

    def __init__(
        self,
        column: str = "audio",
        sample_rate: int = 16000,
        *,
        seconds: float | None = None,
        mono: bool = True,
        crop: str = "random",
        augment: Callable[[Any, np.ndarray | None], Any] | None = None,
        max_seconds: float = 3600.0,
    ) -> None:
        if sample_rate < 1:
            raise ValueError(f"sample_rate must be at least 1 Hz, got {sample_rate}")
        if seconds is not None and round(seconds * sample_rate) < 1:
            raise ValueError(f"seconds={seconds} is less than one sample at {sample_rate:,} Hz")
        if seconds is None and not mono:
            raise ValueError("seconds=None gives rows of unequal length, always of one channel: leave out mono=False")
        if crop not in ("random", *_PLACES):
            raise ValueError(f"crop must be 'random', 'start' or 'center', got {crop!r}")
        if max_seconds <= 0:
            raise ValueError(f"max_seconds must be above 0, got {max_seconds}")
        self.column, self.sample_rate, self.seconds, self.crop = column, sample_rate, seconds, crop
        self.mono, self.augment, self.max_seconds = mono, augment, max_seconds
        self.num_samples = None if seconds is None else round(seconds * sample_rate)
        self._memory = RecycledMemory()
        import_optional("soundfile", wanted_by="AudioDataset")

    @property
    def is_thread_safe(self) -> bool:  # type: ignore[override]
        """Whether several threads may call it at once: unless `augment` may not be called so."""
        return is_thread_safe(self.augment)

    def batch_encode(self, columns: Columns, keys: np.ndarray | None = None) -> Columns:
        """Return the columns, that of sounds as float32 of shape [rows, samples], or [rows, samples, 2] if not mono.

        Without `seconds` it is a `Ragged` of float32.

        Args:
          columns: One batch.
          keys: A key for each row, uint64 of shape [rows]; without them nothing random can be drawn.

        Raises:
          BadRowsError: some rows are no sounds that can be decoded.
          BatchEncodeError: there is no such column, or there are no keys and crop is "random".
        """
        sounds = needed_column(columns, self.column, what_for="of sounds", hint="Name it: AudioDataset(column=...)")
        places = self._places(len(sounds), keys)
        made = self._whole(sounds) if self.num_samples is None else self._windows(sounds, self.num_samples, places)
        if self.augment is not None:
            made[self.column] = self.augment(made[self.column], keys)
        return {**columns, **made}

    def _places(self, num_rows: int, keys: np.ndarray | None) -> np.ndarray:
        """Return where the window of each row begins, from 0 on and below 1."""
        if self.num_samples is None or self.crop != "random":
            return np.full(num_rows, _PLACES.get(self.crop, 0.0))
        return uniform_numbers(needed_keys(keys, instead="start"), 1)[:, 0]

    def _windows(self, sounds: Any, num_samples: int, places: np.ndarray) -> Columns:
        channels = 1 if self.mono else 2
        array = self._memory.empty((len(places), num_samples, *([] if self.mono else [2])), np.dtype(np.float32))
        lengths, bad = np.zeros(len(places), np.int64), dict[int, str]()
        for row, (data, place) in enumerate(zip(sounds, places.tolist(), strict=True)):
            try:
                values = self._read(data, num_samples, place, channels)
            except SoundFault as exc:
                bad[row] = str(exc)
                continue
            array[row, : len(values)], array[row, len(values) :] = values, 0
            lengths[row] = len(values)
        refuse_rows(bad, self.column)
        return {self.column: array, f"{self.column}_length": lengths}

    def _whole(self, sounds: Any) -> Columns:
        rows, bad = list[np.ndarray](), dict[int, str]()
        for row, data in enumerate(sounds):
            try:
                rows.append(self._read(data, None, 0.0, 1))
            except SoundFault as exc:
                bad[row] = str(exc)
        refuse_rows(bad, self.column)
        whole = Ragged.from_rows(rows, dtype=np.float32)
        return {self.column: whole, f"{self.column}_length": whole.lengths}

    def _read(self, data: Any, num_samples: int | None, place: float, channels: int) -> np.ndarray:
        return read_window(
            data.tobytes() if isinstance(data, np.ndarray) else data,
            sample_rate=self.sample_rate,
            num_samples=num_samples,
            place=place,
            channels=channels,
            max_seconds=self.max_seconds,
        )
