"""Names of other libraries: imported from the doors, and loaded when they are used, not before."""

import importlib.util
import subprocess
import sys

import pytest

SCRIPT = """
import sys
import {door} as door
assert not [name for name in sys.modules if name.startswith("pyloader.compat")]
assert door.{name}.__module__.startswith("pyloader.compat.")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("door", "name"),
    [("pyloader.indexed", "Batcher"), ("pyloader.indexed", "converter"), ("pyloader.jax", "MNISTDataset")],
)
def test_a_name_of_another_library_is_loaded_when_it_is_used(door, name):
    if door == "pyloader.jax" and importlib.util.find_spec("jax") is None:
        pytest.skip("needs jax")
    subprocess.run([sys.executable, "-c", SCRIPT.format(door=door, name=name)], check=True)
