"""The README of cyreal, block by block: only import lines differ, and MNIST is small files in its true format."""

import textwrap

import numpy as np
import pytest
from small_datasets import mnist_directory

jax = pytest.importorskip("jax")
import jax.numpy as jnp  # noqa: E402

pytestmark = pytest.mark.frameworks


@pytest.fixture(autouse=True)
def small_mnist(tmp_path, monkeypatch):
    """Let MNISTDataset find its files in its cache, as if they had been downloaded."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    mnist_directory(tmp_path / "pyloader" / "mnist")


def run(block, **names):
    exec(compile(textwrap.dedent(block), "README", "exec"), names)
    return names


QUICK_START = """
import jax
import jax.numpy as jnp

from pyloader.jax import (
  ArraySampleSource,
  BatchTransform,
  DataLoader,
  DevicePutTransform,
  MNISTDataset,
)

train_data = MNISTDataset(split="train").as_array_dict()
pipeline = [
  ArraySampleSource(train_data, ordering="shuffle"),
  BatchTransform(batch_size=128),
  DevicePutTransform(),
]
loader = DataLoader(pipeline=pipeline)
state = loader.init_state(jax.random.PRNGKey(0))

for batch, mask in loader.iterate(state):
  ...  # train your network!
"""


def test_quick_start():
    names = run(QUICK_START)
    assert names["batch"]["image"].shape == (128, 28, 28, 1)
    assert int(names["mask"].sum()) == 300 - 2 * 128


def test_scan_and_avoid_boilerplate():
    names = run(QUICK_START)
    names |= {
        "loader_state": names["state"],
        "model_state": jnp.int32(0),
        "update_model": lambda state, batch, mask: state + mask.sum(),
    }
    names = run(
        """
        def body_fn(model_state, batch, mask):
          model_state = update_model(model_state, batch, mask)
          return model_state, None

        loader_state, model_state, _ = loader.scan_epoch(loader_state, model_state, body_fn)
        """,
        **names,
    )
    assert int(names["model_state"]) == 300


def test_jit_capabilities():
    names = run(
        """
        import jax
        import jax.numpy as jnp

        from pyloader.jax import (
          ArraySampleSource,
          BatchTransform,
          DataLoader,
          DevicePutTransform,
          MNISTDataset,
        )

        train_data = MNISTDataset(split="train").as_array_dict()
        pipeline = [
          ArraySampleSource(train_data, ordering="shuffle"),
          BatchTransform(batch_size=128),
          DevicePutTransform(),
        ]
        loader = DataLoader(pipeline)
        loader_state = loader.init_state(jax.random.PRNGKey(0))
        model_state = model_init()

        @jax.jit
        def train_epoch(model_state, loader_state):
          def body_fn(model_state, batch, mask):
            # Update the network using your train fn
            new_model_state = model_update(model_state, batch, mask)
            return new_model_state, None

          loader_state, model_state, _ = loader.scan_epoch(loader_state, model_state, body_fn)
          return model_state, loader_state

        model_state, loader_state = train_epoch(model_state, loader_state)
        """,
        model_init=lambda: jnp.int32(0),
        model_update=lambda state, batch, mask: state + mask.sum(),
    )
    assert int(names["model_state"]) == 300
    assert int(names["loader_state"]["epoch"]) == 1


def test_streaming_from_disk(tmp_path):
    names = run(
        """
        import jax

        from pyloader.jax import (
          BatchTransform,
          DataLoader,
          DevicePutTransform,
          MNISTDataset,
        )

        pipeline = [
          MNISTDataset.make_disk_source(split="train", ordering="shuffle", prefetch_size=1024),
          BatchTransform(batch_size=128),
          DevicePutTransform(),
        ]

        loader = DataLoader(pipeline=pipeline)
        state = loader.init_state(jax.random.PRNGKey(0))

        for batch, mask in loader.iterate(state):
          ...  # stream without holding the dataset in RAM
        """
    )
    names["loader"].close()
    in_memory = run(QUICK_START)
    np.testing.assert_array_equal(names["batch"]["image"], in_memory["batch"]["image"])


def test_for_the_dirty_and_impure(capsys):
    names = run(
        """
        import jax.numpy as jnp
        import numpy as np

        from pyloader.jax import (
          ArraySampleSource,
          BatchTransform,
          DataLoader,
          HostCallbackTransform,
          MNISTDataset,
        )

        def model(images):
          return jnp.mean(images.astype(jnp.float32), axis=(1, 2, 3))

        def cross_entropy(logits, labels):
          labels = labels.astype(jnp.float32)
          return (logits - labels) ** 2

        def log_loss(batch, mask):
          logits = model(batch["image"])
          loss = jnp.mean(cross_entropy(logits, batch["label"]) * mask[:, None])
          print("loss:", float(np.asarray(loss)))
          return batch

        loader = DataLoader(
          pipeline=[
            ArraySampleSource(MNISTDataset(split="train").as_array_dict(), ordering="shuffle"),
            BatchTransform(batch_size=128),
            HostCallbackTransform(fn=log_loss),
          ],
        )
        """
    )
    for _ in names["loader"].iterate(names["loader"].init_state(0)):
        pass
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["loss:"] * 3
