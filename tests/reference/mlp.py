"""A small fully connected network on a flat float64 vector, differentiated by hand.

No automatic differentiation is used, so that its gradients, and the block gradients with frozen
boundary data, check those that the package takes from autograd.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Batch = tuple[Matrix, NDArray[np.int64]]
LayerCache = tuple[Matrix, Matrix]


class MLPProblem:
    """Mean cross-entropy of an MLP, split into consecutive blocks of layers.

    Args:
        sizes: widths (inputs, hidden..., classes); one affine layer between two neighbours.
        layers_per_block: how many consecutive layers each subdomain holds; one each by default.
        activation: applied after every layer but the last, and part of that layer's block.

    The flat vector holds, layer by layer, the weight (outputs x inputs, row-major) and the bias.
    A batch is (inputs of shape (samples, sizes[0]), labels of shape (samples,)).
    """

    def __init__(
        self,
        sizes: Sequence[int],
        layers_per_block: Sequence[int] | None = None,
        activation: Literal["tanh", "relu"] = "tanh",
    ) -> None:
        self.shapes = [(outputs, inputs) for inputs, outputs in itertools.pairwise(sizes)]
        self.activation = activation
        counts = list(layers_per_block or [1] * len(self.shapes))
        if sum(counts) != len(self.shapes):
            raise ValueError(f"blocks of {counts} layers do not add up to {len(self.shapes)}")
        ends = list(itertools.accumulate(counts))
        self.block_layers = [
            range(end - count, end) for end, count in zip(ends, counts, strict=True)
        ]
        lengths = [outputs * inputs + outputs for outputs, inputs in self.shapes]
        offsets = [0, *itertools.accumulate(lengths)]
        self.blocks = [slice(offsets[r.start], offsets[r.stop]) for r in self.block_layers]
        self.n = offsets[-1]

    def initial(self, seed: int) -> Vector:
        """Uniform weights and biases within one over the square root of the fan-in."""
        rng = np.random.default_rng(seed)
        parts = [
            rng.uniform(-1.0, 1.0, outputs * inputs + outputs) / np.sqrt(inputs)
            for outputs, inputs in self.shapes
        ]
        return np.concatenate(parts)

    def loss(self, theta: Vector, batch: Batch) -> float:
        """Mean cross-entropy over the batch (nats); may be inf or nan far from the data."""
        with np.errstate(all="ignore"):
            logits = self._forward(theta, batch[0])[0]
            shifted = logits - logits.max(axis=1, keepdims=True)
            log_sum = np.log(np.exp(shifted).sum(axis=1))
            return float(np.mean(log_sum - shifted[np.arange(len(batch[1])), batch[1]]))

    def gradient(self, theta: Vector, batch: Batch) -> Vector:
        """Gradient of `loss`, shape (n,)."""
        return self._backward(theta, batch)[0]

    def local_gradient(self, d: int, theta_d: Vector, theta_k: Vector, batch: Batch) -> Vector:
        """Eq. (2): block d at `theta_d`, its input and its output gradient frozen at `theta_k`."""
        with np.errstate(all="ignore"):
            frozen_input = self._forward(theta_k, batch[0])[1][d]
            frozen_delta = self._backward(theta_k, batch)[1][d]
            _, caches = self._block_forward(d, theta_d, frozen_input)
            return self._block_backward(d, theta_d, caches, frozen_delta)[0]

    def last_block_gradient(self, theta_last: Vector, theta_k: Vector, batch: Batch) -> Vector:
        """Exact gradient of the last block at `theta_last`, the others frozen at `theta_k`."""
        theta = theta_k.copy()
        theta[self.blocks[-1]] = theta_last
        return self.gradient(theta, batch)[self.blocks[-1]]

    def _forward(self, theta: Vector, inputs: Matrix) -> tuple[Matrix, list[Matrix]]:
        """Logits, and the input of every block."""
        block_inputs = []
        for d, block in enumerate(self.blocks):
            block_inputs.append(inputs)
            inputs, _ = self._block_forward(d, theta[block], inputs)
        return inputs, block_inputs

    def _backward(self, theta: Vector, batch: Batch) -> tuple[Vector, list[Matrix]]:
        """Gradient, and the derivative of the loss with respect to every block's output."""
        inputs, labels = batch
        gradient = np.empty(self.n)
        with np.errstate(all="ignore"):
            logits, block_inputs = self._forward(theta, inputs)
            exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
            delta = exponentials / exponentials.sum(axis=1, keepdims=True)
            delta[np.arange(len(labels)), labels] -= 1.0
            delta /= len(labels)
            deltas = [delta]
            for d in reversed(range(len(self.blocks))):
                theta_d = theta[self.blocks[d]]
                _, caches = self._block_forward(d, theta_d, block_inputs[d])
                gradient[self.blocks[d]], delta = self._block_backward(d, theta_d, caches, delta)
                deltas.insert(0, delta)
        return gradient, deltas[1:]

    def _affine(self, d: int, theta_d: Vector) -> list[tuple[Matrix, Vector]]:
        """Weights and biases of block d."""
        parameters, start = [], 0
        for layer in self.block_layers[d]:
            outputs, inputs = self.shapes[layer]
            middle, end = start + outputs * inputs, start + outputs * inputs + outputs
            parameters.append((theta_d[start:middle].reshape(outputs, inputs), theta_d[middle:end]))
            start = end
        return parameters

    def _is_output(self, layer: int) -> bool:
        return layer == len(self.shapes) - 1

    def _block_forward(
        self, d: int, theta_d: Vector, inputs: Matrix
    ) -> tuple[Matrix, list[LayerCache]]:
        """Output of block d, and per layer its input and its affine value."""
        caches = []
        for layer, (weight, bias) in zip(
            self.block_layers[d], self._affine(d, theta_d), strict=True
        ):
            affine = inputs @ weight.T + bias
            caches.append((inputs, affine))
            if self._is_output(layer):
                inputs = affine
            else:
                inputs = np.tanh(affine) if self.activation == "tanh" else np.maximum(affine, 0.0)
        return inputs, caches

    def _block_backward(
        self, d: int, theta_d: Vector, caches: list[LayerCache], delta: Matrix
    ) -> tuple[Vector, Matrix]:
        """Vector-Jacobian product of block d: its gradient, and the derivative at its input."""
        parts: list[Vector] = []
        layers = list(
            zip(self.block_layers[d], self._affine(d, theta_d), caches, strict=True),
        )
        for layer, (weight, _), (inputs, affine) in reversed(layers):
            if not self._is_output(layer):
                if self.activation == "tanh":
                    delta = delta * (1.0 - np.tanh(affine) ** 2)
                else:
                    delta = delta * (affine > 0.0)
            parts = [(delta.T @ inputs).ravel(), delta.sum(axis=0), *parts]
            delta = delta @ weight
        return np.concatenate(parts), delta
