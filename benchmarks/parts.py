"""asv: the parts of a step that are no passes, and evaluation."""

import math

import torch

from benchmarks.problems import get_workload, problem
from napts.optim import vectors
from napts.optim.acceptance import judge
from napts.optim.history import ConstantMemory, Success, Window
from napts.optim.vectors import Layout


class AcceptanceRules:
    """A thousand acceptance tests, every third of them a success."""

    params = (("windowed", "constant-memory"), (0, 1, 5, 20, 100))
    param_names = ("history", "window")

    def setup(self, history: str, window: int) -> None:
        self._history = (Window if history == "windowed" else ConstantMemory)(window)

    def time_thousand_tests(self, history: str, window: int) -> None:
        for step in range(1000):
            loss = 1.0 + 0.3 * math.sin(step)
            reference, _ = self._history.reference(loss)
            judge(loss, loss - 0.01, 0.02, reference, 0.25)
            if step % 3 == 0:
                self._history.push(Success(loss, loss - 0.01, 0.02))


class VectorOperations:
    """Vectors over the parameters, in four blocks."""

    params = (("mnist-fcnn", "cifar10-cnn"),)
    param_names = ("workload",)

    def setup(self, workload: str) -> None:
        model = problem(workload, 2).model
        parameters = list(model.parameters())
        quarter = -(-len(parameters) // 4)
        blocks = [parameters[i : i + quarter] for i in range(0, len(parameters), quarter)]
        self._parameters, self._layout = parameters, Layout(blocks)
        with torch.no_grad():
            self._vector = self._layout.read()

    @torch.no_grad()
    def time_read(self, workload: str) -> None:
        self._layout.read()

    @torch.no_grad()
    def time_write(self, workload: str) -> None:
        self._layout.write(self._vector)

    @torch.no_grad()
    def time_write_sum(self, workload: str) -> None:
        self._layout.write_sum(self._vector, 0.5, self._vector)

    @torch.no_grad()
    def time_norm_and_dot(self, workload: str) -> None:
        vectors.norm(self._vector, "l2")
        vectors.dot(self._vector, self._vector)


class Evaluation:
    """Loss and accuracy of the digits' validation set."""

    timeout = 120

    def setup(self) -> None:
        torch.set_num_threads(1)
        self._workload = get_workload("digits-cnn")
        self._model = self._workload.build_model(0)
        self._tensors = self._workload.load().validation

    def time_evaluate(self) -> None:
        self._workload.evaluate(self._model, self._tensors)
