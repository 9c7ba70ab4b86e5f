"""The spectral tracking trust region: weight matrices are stepped on as matrices."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Unpack

from napts.optim import spectral
from napts.optim.group_options import BY_GROUP
from napts.optim.moments import Moments
from napts.optim.option import Amendment, Option
from napts.optim.tracking.optimizer import TrackingOptimizer
from napts.optim.tracking.options import TrackingOptions
from napts.optim.vectors import Layout, Vector


class STTROptions(TrackingOptions, total=False):
    """Options of :class:`STTR`."""

    spectral: Annotated[
        bool,
        Option(
            True,
            "Whether matrices are stepped on as matrices; with ``False`` they move in Adam's "
            "direction, as vectors do. May differ between groups.",
            before=True,
        ),
    ]


class STTR(TrackingOptimizer):
    r"""Spectral tracking trust region (ours): :class:`TTR` in the norm that suits a matrix.

    The radius, its probes, the rejection and the average are those of :class:`TTR`. The direction
    is another one where a parameter is a matrix: of all steps whose spectral norm is within a
    bound, it has the largest reduction by the linear model with the running average of the
    gradients. With the average ``M = U diag(s) V^T`` that is ``-U V^T``: what the average has
    little of is gone as far as what it has much of. Newton-Schulz iterations find it from products
    of matrices. Its entries are scaled to the root mean square 0.2 (less if ``M`` has not full
    rank), about that of Adam's, so that biases and other vectors, which move in Adam's direction,
    share the radius.

    Every parameter with two dimensions or more is a matrix, with a row for each entry of the first
    dimension: filters of a convolution, but also stacked matrices, which count as one, and a single
    row or column, whose direction is the normalised average. So is an embedding: if a batch uses
    few of its rows, these move farther than other parameters, by the square root of how many rows
    there are for one in use. A group of its own with ``spectral=False`` leaves them to Adam's
    direction; neither was tried with large vocabularies.

    A step costs one forward and one backward, and for a matrix of ``m`` by ``n``, ``m <= n``, about
    ``20 m^2 n + 10 m^3`` floating-point operations more, whatever the batch.

    Args:
        params: Parameters or groups of them.

    All else is as for :class:`TTR`: groups, the factor ``lr``, ``optimizer.radius``,
    ``eval_mode()`` before an evaluation and ``train_mode()`` before the next step.

    Raises:
        ValueError: If an argument is out of range.

    Reference: our own. Steps in the spectral norm: Jordan et al., *Muon* (2024), with the scale of
    Liu et al. (2025); as trust-region steps: Kovalev (2025). Radius: :class:`TTR`. Measured in
    ``docs/results/untuned.md``.

    Example:
        >>> optimizer = napts.STTR(model.parameters())
    """

    by_group = (*BY_GROUP, "spectral")

    amended = (
        Amendment(
            "radius",
            "Here the root mean square of a matrix's step is 0.2 times the radius, its spectral "
            "norm about that times the root of the larger dimension.",
            default=3e-3,
        ),
        Amendment("caution", default=2.0),
        Amendment("target_max", default=0.9),
        Amendment("first_probes", default=4),
        Amendment(
            "betas",
            "The first is also that of the average whose polar factor is taken; the second acts on "
            "vectors only.",
        ),
        Amendment("eps", "It acts on vectors only."),
    )

    def __init__(self, params: Iterable[Any], **options: Unpack[STTROptions]) -> None:
        super().__init__(params, options)

    def _turn(self, direction: Vector, moments: Sequence[Moments], layout: Layout) -> None:
        groups = [group for group in self.param_groups if not group["spectral"]]
        left = {id(p) for group in groups for p in group["params"]}
        spectral.direct(direction, [own.first for own in moments], layout, left)
