"""APTS in weights: the trust region of 2023, whose subdomains minimise the loss itself."""

from collections.abc import Sequence
from typing import Any

from napts.optim import options as compose
from napts.optim.bases import SubdomainMethod, gather
from napts.optim.composition import Composition
from napts.optim.correction import ForcedAs, ForcedDecrease
from napts.optim.exact import ExactSubdomains
from napts.optim.history import Window
from napts.optim.local_model import Direction
from napts.optim.local_trust_region import LocalTrustRegion
from napts.optim.options import CORRECTION_WEIGHTS, Order
from napts.optim.regions import RadiusFloor
from napts.optim.subdomains import ParameterSets
from napts.optim.vectors import Norm


class APTSW(SubdomainMethod):
    r"""Additively preconditioned trust-region strategy in weights, with exact subdomains.

    Per batch: one forward and backward; every subdomain takes up to ``local_steps`` trust-region
    steps on the loss itself over its own parameters, the others frozen where they were; the sum of
    what they did is taken, or, with forced decrease, turned towards the gradient until the loss
    does not grow; one global trust-region step follows, which alone changes the radius. With
    mini-batches it is called SAPTS. Cost of a batch with ``N`` subdomains and ``nu`` local steps:
    at most ``N * nu + 3`` forwards, one more per correction and further global try, and ``N * (nu -
    1) + 2`` backwards.

    The paper caps the local radius by what is left of the global one. A first-order step in the
    infinity norm has the length of its radius, so that the first one that is accepted uses up what
    there is; a subdomain takes further ones only after a rejection. At the iterate the gradient of
    a subdomain's loss is its part of the global one: no term for first-order consistency is needed.

    Args:
        sets: The subdomains, from :func:`napts.deal_parameters`; layer blocks of
            :func:`napts.partition_layers` will do.
        local_steps: Local trust-region steps ``nu`` of each subdomain, at least 1, rejected ones
            included.
        local_budget: Share of the radius, in (0, 1], that a subdomain may use. 1 in the paper, 0.5
            in its authors' code.
        forced_decrease: The flag ``fdl``: take the proposal only if the loss does not grow, and
            else try the weights of ``correction``. Without it every proposal is taken whose loss is
            finite.
        forced_as: Whose correction: the paper's, or that of one of its authors' programs; see
            :class:`napts.optim.correction.ForcedDecrease`.
        correction: Weights of the gradient step, each in (0, 1], in the order tried; the last one
            is taken in any case.
        radius: See :class:`napts.TR`, as for all arguments below. The defaults are the paper's.
        radius_min: See :class:`napts.TR`.
        radius_max: See :class:`napts.TR`.
        shrink: See :class:`napts.TR`; for local radii too.
        grow: See :class:`napts.TR`; for local radii too.
        eta_1: See :class:`napts.TR`; for local steps too.
        eta_2: See :class:`napts.TR`; for local steps too.
        norm: See :class:`napts.TR`; the infinity norm in the paper. In the 2-norm a subdomain may
            use ``radius / sqrt(N)`` (ours).
        direction: See :class:`napts.TR`; for local steps too.
        order: See :class:`napts.TR`; for local steps too, whose pairs are at first the parts of the
            global ones.
        pairs: See :class:`napts.TR`.
        max_tries: Tries of the global step; 1 in the paper.
        radius_floor: See :class:`napts.TR`.
        weight_decay: See :class:`napts.TR`.
        decoupled_weight_decay: See :class:`napts.TR`.

    Raises:
        ValueError: If an argument is out of range.

    Reference: APTS in weights (arXiv 2312.13677), Algorithm 1 and section 3.1.

    Example:
        >>> sets = napts.deal_parameters(model, n_subdomains=6)
        >>> optimizer = napts.APTSW(sets, order=2, **napts.preset("APTSW", "apts-2023"))
    """

    pipeline_ok = False
    shared_by = "subdomains"

    def __init__(
        self,
        sets: ParameterSets,
        *,
        local_steps: int = 5,
        local_budget: float = 1.0,
        forced_decrease: bool = False,
        forced_as: ForcedAs = "paper",
        correction: Sequence[float] = CORRECTION_WEIGHTS,
        radius: float | None = None,
        radius_min: float | None = None,
        radius_max: float | None = None,
        shrink: float = 0.5,
        grow: float = 2.0,
        eta_1: float = 0.25,
        eta_2: float = 0.75,
        norm: Norm = "inf",
        direction: Direction = "scaled_gradient",
        order: Order = 1,
        pairs: int = 5,
        max_tries: int = 1,
        radius_floor: RadiusFloor = "yielding",
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
    ) -> None:
        if not isinstance(sets, ParameterSets):
            raise ValueError(
                f"Invalid sets: {type(sets).__name__}, must be sets of parameters such as "
                "napts.deal_parameters(model, n_subdomains=6)"
            )
        super().__init__(sets, gather(locals()))

    def _compose(self, options: dict[str, Any]) -> Composition:
        model, rule = compose.local_model(options), compose.radius_rule(options)
        weights = tuple(options["correction"])
        forced = options["forced_decrease"] and bool(weights)
        return Composition(
            model,
            rule,
            options["max_tries"],
            global_history=Window(0),
            forced_decrease=options["forced_decrease"],
            preconditioner=ExactSubdomains(
                LocalTrustRegion(options["local_steps"], rule), model, options["local_budget"]
            ),
            correction=(
                ForcedDecrease(
                    weights, options["norm"], rule.shrink, rule.minimum, options["forced_as"]
                )
                if forced
                else None
            ),
        )
