"""A language model of one page: the next byte from the eight before it, in NumPy, with gradients written by hand."""

from __future__ import annotations

import numpy as np

__all__ = ["NextByteModel", "byte_entropy"]


def byte_entropy(counts: np.ndarray) -> float:
    """Return the loss, in nats a byte, of the best guess that knows only how often each byte occurs.

    Args:
      counts: int array of shape [256].
    """
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


class NextByteModel:
    """Bytes -> embeddings -> one hidden layer -> a distribution over the next byte; trained with Adam.

    Args:
      num_context: How many bytes it looks back.
      embedding_size: Numbers per byte.
      hidden_size: Units in the hidden layer.
      learning_rate: Adam's step size.
      seed: The seed of the first weights.
    """

    def __init__(
        self,
        *,
        num_context: int = 8,
        embedding_size: int = 16,
        hidden_size: int = 128,
        learning_rate: float = 2e-3,
        seed: int = 0,
    ) -> None:
        rng = np.random.default_rng(seed)

        def weights(*shape: int) -> np.ndarray:
            values: np.ndarray = rng.standard_normal(shape) / np.sqrt(shape[0])
            return values.astype(np.float32)

        joined = num_context * embedding_size
        self.parameters = {
            "embedding": rng.standard_normal((256, embedding_size)).astype(np.float32),
            "hidden": weights(joined, hidden_size),
            "hidden_bias": np.zeros(hidden_size, np.float32),
            "output": weights(hidden_size, 256),
            "output_bias": np.zeros(256, np.float32),
        }
        self.learning_rate, self.num_steps = learning_rate, 0
        self._mean = {name: np.zeros_like(values) for name, values in self.parameters.items()}
        self._square = {name: np.zeros_like(values) for name, values in self.parameters.items()}

    def loss(self, context: np.ndarray, target: np.ndarray) -> float:
        """Return the mean loss in nats a byte.

        Args:
          context: uint8 array of shape [num_examples, num_context].
          target: uint8 array of shape [num_examples], the byte that follows each context.
        """
        *_, probability = self._forward(context)
        return _cross_entropy(probability, target)

    def train_step(self, context: np.ndarray, target: np.ndarray) -> float:
        """Learn from one batch; return its mean loss before the step, in nats a byte.  Shapes as in `loss`."""
        weights = self.parameters
        joined, hidden, probability = self._forward(context)
        loss = _cross_entropy(probability, target)

        d_logits = probability  # softmax and cross entropy together: p - 1 at the target
        d_logits[np.arange(len(target)), target] -= 1
        d_logits /= len(target)
        d_hidden = (d_logits @ weights["output"].T) * (hidden > 0)
        d_joined = d_hidden @ weights["hidden"].T
        gradients = {
            "embedding": _sum_by_byte(d_joined.reshape(context.size, -1), context.ravel()),
            "hidden": joined.T @ d_hidden,
            "hidden_bias": d_hidden.sum(axis=0),
            "output": hidden.T @ d_logits,
            "output_bias": d_logits.sum(axis=0),
        }
        self._adam(gradients)
        return loss

    def _forward(self, context: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        weights = self.parameters
        joined = weights["embedding"][context].reshape(len(context), -1)
        hidden = np.maximum(joined @ weights["hidden"] + weights["hidden_bias"], 0)
        logits = hidden @ weights["output"] + weights["output_bias"]
        logits -= logits.max(axis=1, keepdims=True)
        np.exp(logits, out=logits)
        logits /= logits.sum(axis=1, keepdims=True)
        return joined, hidden, logits

    def _adam(self, gradients: dict[str, np.ndarray]) -> None:
        self.num_steps += 1
        rate = self.learning_rate * np.sqrt(1 - 0.999**self.num_steps) / (1 - 0.9**self.num_steps)
        for name, gradient in gradients.items():
            mean, square = self._mean[name], self._square[name]
            mean += 0.1 * (gradient - mean)
            square += 0.001 * (gradient * gradient - square)
            self.parameters[name] -= np.float32(rate) * mean / (np.sqrt(square) + 1e-8)


def _cross_entropy(probability: np.ndarray, target: np.ndarray) -> float:
    return float(-np.log(probability[np.arange(len(target)), target] + 1e-30).mean())


def _sum_by_byte(rows: np.ndarray, byte: np.ndarray) -> np.ndarray:
    """Return float32 [256, ...]: the sum of the rows that belong to each byte."""
    order = np.argsort(byte, kind="stable")
    present, starts = np.unique(byte[order], return_index=True)
    total = np.zeros((256, rows.shape[1]), rows.dtype)
    total[present] = np.add.reduceat(rows[order], starts)  # np.add.at takes several times as long
    return total
