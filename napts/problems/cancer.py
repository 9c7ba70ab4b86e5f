"""A finite sum: logistic regression with a quadratic penalty, on scikit-learn's cancer set."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from napts.extras import need
from napts.problems.diabetes import standardised
from napts.problems.holdout import SplitOptions
from napts.problems.numbers import Samples, Scale
from napts.problems.problem import Problem
from napts.problems.registry import register_problem
from napts.problems.samples import SampleSet
from napts.problems.tensors import RawSet

FEATURES = 30
TEST_SIZE = 114


@register_problem("cancer-logistic")
class CancerLogistic(Problem):
    """`cancer-logistic`: benign or malignant from 30 measurements, a strictly convex finite sum.

    The loss is ``mean_i log(1 + exp(-y_i w.x_i)) + penalty / 2 |w|^2``, with a constant feature in
    place of an intercept, so that the penalty makes it strictly convex in all parameters. 341
    samples for training, 114 for validation, 114 for testing (our choice), standardised with the
    training samples.
    """

    dataset = "cancer"
    batch_size, subdomains = 32, 1
    primary = ("loss", "min")
    fractions = ("accuracy",)

    class Options(SplitOptions):
        """Options of `cancer-logistic`.

        Attributes:
            penalty: Factor of the quadratic penalty.
        """

        validation_size: Samples = 114
        penalty: Scale = 1e-3

    def network(self) -> nn.Module:
        """Return the linear map, initially zero as is usual for convex problems."""
        layer = nn.Linear(FEATURES + 1, 1, bias=False)
        nn.init.zeros_(layer.weight)
        return layer

    def data(self, root: Path | None = None) -> Any:
        """Return inputs ``(n, 31)`` and targets ``(n,)``, 0 or 1."""
        need("sklearn")
        from sklearn.datasets import load_breast_cancer  # training elsewhere must not need it

        inputs, targets = load_breast_cancer(return_X_y=True)
        samples = RawSet(torch.as_tensor(inputs), torch.as_tensor(targets, dtype=torch.int64))
        parts = standardised(samples, TEST_SIZE, self.options, targets=False)
        return [(functional.pad(x, (0, 1), value=1.0), y) for x, y in parts]

    def loss(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Return the mean logistic loss with the penalty."""
        inputs, targets = batch
        scores = model(inputs).squeeze(1)
        loss = functional.binary_cross_entropy_with_logits(scores, targets.to(scores.dtype))
        squares = torch.stack([p.square().sum() for p in model.parameters()]).sum()
        return loss + 0.5 * self.options.penalty * squares

    def metrics(self, model: nn.Module, samples: SampleSet) -> dict[str, float]:
        """Return the fraction of samples classified correctly."""
        inputs, targets = samples.all()
        right = (model(inputs).squeeze(1) > 0) == targets
        return {"accuracy": right.double().mean().item()}
