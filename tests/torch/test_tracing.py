"""A traced loader shows its calls in a running torch.profiler."""

from __future__ import annotations

import pytest

from pyloader import DataLoader

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.frameworks, pytest.mark.timeout(300)]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_the_calls_of_traced_steps_are_in_the_profile(tmp_path, num_workers):
    (tmp_path / "chunks").mkdir()
    for number in range(4):
        (tmp_path / "chunks" / f"{number}.txt").write_text("line\n" * 50)
    every_thread = torch._C._profiler._ExperimentalConfig(profile_all_threads=True)
    with DataLoader(data_dir=tmp_path / "chunks", batch_size=10, num_workers=num_workers, world=None) as loader:
        loader.trace(tmp_path / "trace.json", steps=range(20))
        with torch.profiler.profile(
            activities=[torch.profiler.ProfilerActivity.CPU], experimental_config=every_thread
        ) as profile:
            assert sum(1 for _ in loader) == 20
    counts = {event.key: event.count for event in profile.key_averages()}
    assert counts["pyloader read"] == 4
    assert counts["pyloader batch"] >= 4  # groups of batches
