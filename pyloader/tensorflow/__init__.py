"""The loop on TensorFlow's side: batches as tensors, or as a tf.data.Dataset for Keras.

collator   numbers -> tensors
feed       what tf.data has taken from a loader, and what of it the loop has received
dataset    a loader -> a tf.data.Dataset
"""

from pyloader.errors import import_optional

import_optional("tensorflow", wanted_by="pyloader.tensorflow")

from pyloader.tensorflow.collator import TensorFlowDataCollator  # noqa: E402
from pyloader.tensorflow.dataset import LoaderDataset, as_tf_dataset  # noqa: E402

__all__ = ["LoaderDataset", "TensorFlowDataCollator", "as_tf_dataset"]
