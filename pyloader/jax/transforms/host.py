"""Stages that reach out of the compiled code: HostCallbackTransform into Python, DevicePutTransform to a device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from pyloader.jax.host import HostCall
from pyloader.jax.source import PyTree, Source
from pyloader.jax.transforms.mapping import Elementwise

__all__ = ["DevicePutTransform", "HostCallbackTransform"]


@dataclass(frozen=True)
class HostCallbackTransform:
    """Call a Python function with each element, while compiled code waits: to log, to draw, to change it.

    Args:
      fn: (element, mask) -> element, or None to leave it as it is; gets and returns NumPy arrays.
      element_spec_override: The shapes and dtypes of what it answers, where they differ from what it gets.

    Raises:
      ValueError: while it runs: the function answered with other shapes or another tree than announced.
    """

    fn: Callable[[PyTree, Any], PyTree | None]
    element_spec_override: PyTree | None = None

    def __call__(self, inner: Source) -> Source:
        """Return the elements of `inner` as the function answers them."""
        spec = inner.element_spec() if self.element_spec_override is None else self.element_spec_override
        return _HostCallback(inner, self.fn, spec)


class _HostCallback(Elementwise):
    def __init__(self, inner: Source, fn: Callable[[PyTree, Any], PyTree | None], spec: PyTree) -> None:
        def on_host(element: PyTree, mask: Any) -> PyTree:
            answer = fn(element, mask)
            return _checked(element if answer is None else answer, spec)

        call = HostCall(on_host)
        super().__init__(inner, lambda element, mask: call(spec, element, mask), "HostCallbackTransform()", spec)
        self.host_calls = [call]
        self.next_rows = None  # the function gets one element at a time


def _checked(answer: PyTree, spec: PyTree) -> PyTree:
    found = jax.tree.map(lambda leaf: np.asarray(leaf), answer)
    shapes, wanted = (jax.tree.map(lambda leaf: list(leaf.shape), tree, is_leaf=None) for tree in (found, spec))
    if shapes != wanted:
        raise ValueError(
            f"the function of HostCallbackTransform answered with the shapes {shapes}, not {wanted}. Say what it "
            "answers with: element_spec_override"
        )
    return jax.tree.map(lambda leaf, like: leaf.astype(like.dtype), found, spec)


@dataclass(frozen=True)
class DevicePutTransform:
    """Put each element on a device.

    Args:
      device: A jax.Device, or its platform and number as "cpu", "gpu:0"; None leaves the choice to JAX: the elements
        are where the computation is.

    Raises:
      ValueError: when put on a source: there is no such device.
    """

    device: Any = None

    def __call__(self, inner: Source) -> Source:
        """Return the elements of `inner`, on the device."""
        if self.device is None:
            return Elementwise(inner, lambda element, _: element, "DevicePutTransform()")
        device = _named(self.device) if isinstance(self.device, str) else self.device
        put = lambda element, _: jax.device_put(element, device)  # noqa: E731
        return Elementwise(inner, put, f"DevicePutTransform({device})")


def _named(name: str) -> Any:
    platform, _, number = name.partition(":")
    try:
        devices = jax.devices(platform)
    except RuntimeError as exc:
        raise ValueError(f"there is no device {name!r} here, only {_all()}") from exc
    if number and not (number.isdecimal() and int(number) < len(devices)):
        raise ValueError(f"there is no device {name!r} here, only {_all()}")
    return devices[int(number or 0)]


def _all() -> str:
    return ", ".join(f"{device.platform}:{device.id}" for device in jax.devices())
