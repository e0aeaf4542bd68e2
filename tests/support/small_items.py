"""Small datasets of items: letters, and rows that note what they were asked for."""

from pyloader.indexed.dataset import Dataset
from pyloader.indexed.in_memory import InMemoryDataset

__all__ = ["LETTERS", "Counted"]

LETTERS = InMemoryDataset(list("abcdefghij"))


class Counted(Dataset[int]):
    """An array dataset that keeps what it was asked for."""

    def __init__(self, rows):
        self.rows, self.taken = rows, []

    def __len__(self):
        return len(self.rows)

    def take(self, indices):
        self.taken.append(indices.tolist())
        return self.rows.take(indices, axis=0)
