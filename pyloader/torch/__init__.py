"""The loop on PyTorch's side: batches as tensors, on the device, or in torch's own DataLoader.

collator   numbers -> tensors
placing    batches of a loader -> tensors on a device, ahead of the loop
iterable   a loader -> torch's IterableDataset
"""

from pyloader.errors import import_optional

import_optional("torch", wanted_by="pyloader.torch")

from pyloader.torch.collator import TorchDataCollator, as_tensor  # noqa: E402
from pyloader.torch.iterable import LoaderDataset, as_iterable_dataset  # noqa: E402
from pyloader.torch.placing import DevicePrefetch, prefetch_to_device  # noqa: E402

__all__ = [
    "DevicePrefetch",
    "LoaderDataset",
    "TorchDataCollator",
    "as_iterable_dataset",
    "as_tensor",
    "prefetch_to_device",
]
