"""APTS in data: a trust region whose subdomains are shards of the batch."""

from collections.abc import Iterable
from typing import Any

from napts.optim import options as compose
from napts.optim.bases import PlainTrustRegion, gather
from napts.optim.composition import Composition
from napts.optim.history import Window
from napts.optim.local_model import Direction
from napts.optim.local_trust_region import LocalTrustRegion
from napts.optim.options import Order
from napts.optim.regions import RadiusFloor
from napts.optim.shards import Shards
from napts.optim.vectors import Norm


class APTSD(PlainTrustRegion):
    r"""Additively preconditioned trust-region strategy in data.

    Per batch: one forward and backward; every shard takes up to ``local_steps`` trust-region steps
    over all parameters on a loss of its own, which agrees with the whole loss to first order; the
    combination of what they found is tested against what they promised; one global trust-region
    step follows. The loss of a batch is the mean of its shards' losses, evaluated one by one, so
    that their gradients at the iterate cost nothing more. With equal shards an accepted batch costs
    at most ``local_steps + 3`` forwards and ``local_steps + 1`` backwards, those of shards counted
    by their share.

    Its ``step`` takes a :class:`napts.Batch`. Several processes can share the shards, see
    there: every pass is then shared.

    Args:
        params: Parameters or groups of them.
        shards: Number of shards ``P``, at least 1.
        local_steps: Local trust-region steps ``nu`` of each shard, at least 1, rejected ones
            included. 5 in the authors' code.
        consistent: Add the first-order term to each shard's loss; see
            :class:`napts.optim.shards.Shards`.
        radius: See :class:`napts.TR`, as for all arguments below.
        radius_min: See :class:`napts.TR`.
        radius_max: See :class:`napts.TR`.
        shrink: See :class:`napts.TR`; for local radii too.
        grow: See :class:`napts.TR`; for local radii too.
        eta_1: See :class:`napts.TR`; for local steps too.
        eta_2: See :class:`napts.TR`; for local steps too.
        norm: See :class:`napts.TR`. In the 2-norm the shards' steps are added, in the infinity norm
            averaged.
        direction: See :class:`napts.TR`; for local steps too.
        order: See :class:`napts.TR`; for local steps too, which start with the global pairs.
        pairs: See :class:`napts.TR`.
        max_tries: Tries of the global step; 1 in the authors' code.
        radius_floor: See :class:`napts.TR`.
        weight_decay: See :class:`napts.TR`.
        decoupled_weight_decay: See :class:`napts.TR`.

    Raises:
        ValueError: If an argument is out of range.

    Reference: APTS in data (ENUMATH 2023), from its slides and its authors' code; the promise of an
    averaged step is derived here (their code keeps the sum, which makes the ratio ``P`` times too
    small).
    """

    pipeline_ok = False
    shared_by = "shards"

    def __init__(
        self,
        params: Iterable[Any],
        *,
        shards: int = 2,
        local_steps: int = 5,
        consistent: bool = True,
        radius: float | None = None,
        radius_min: float | None = None,
        radius_max: float | None = None,
        shrink: float = 0.5,
        grow: float = 2.0,
        eta_1: float = 0.25,
        eta_2: float = 0.75,
        norm: Norm = "l2",
        direction: Direction = "scaled_gradient",
        order: Order = 1,
        pairs: int = 5,
        max_tries: int = 1,
        radius_floor: RadiusFloor = "yielding",
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
    ) -> None:
        super().__init__(params, gather(locals()))

    def _compose(self, options: dict[str, Any]) -> Composition:
        model, rule = compose.local_model(options), compose.radius_rule(options)
        solver = LocalTrustRegion(options["local_steps"], rule)
        return Composition(
            model,
            rule,
            options["max_tries"],
            global_history=Window(0),
            proposal_history=Window(0),
            preconditioner=Shards(
                options["shards"], solver, model, options["norm"], options["consistent"]
            ),
        )
