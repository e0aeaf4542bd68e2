"""torchdata's StatefulDataLoader: torch's, with a state to resume from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torchdata.stateful_dataloader import StatefulDataLoader
from workloads import Data

from contenders import torch_dataloader


def epochs(data: Data, *, fetch: str, num_workers: int) -> Iterator[Any]:
    return torch_dataloader.epochs(data, fetch=fetch, num_workers=num_workers, loader=StatefulDataLoader)
