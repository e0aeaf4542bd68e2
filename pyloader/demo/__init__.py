"""What `pyloader demo` is made of: real text, three classes that read it, and a model that learns from it.

    text_dump      text that is on every machine -> one JSON lines file
    byte_windows   the three classes a user writes: DataReader, Dataset, DataCollator
    model          a next-byte language model in NumPy

examples/numpy_text_model.py shows the same three classes in a training script to copy.
"""

from pyloader.demo.byte_windows import ByteWindows, NextByte, TextPieces
from pyloader.demo.model import NextByteModel

__all__ = ["ByteWindows", "NextByte", "NextByteModel", "TextPieces"]
