"""DevicePutTransform: batches on a certain device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax

from pyloader.jax.source import Source
from pyloader.jax.transforms.elementwise import Elementwise

__all__ = ["DevicePutTransform"]


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
