"""APTS in weights: the trust region of 2023, whose subdomains minimise the loss itself."""

from collections.abc import Sequence
from typing import Annotated, Any, Unpack

from napts.optim import members
from napts.optim.acceptance import RadiusRule
from napts.optim.bases import SubdomainMethod
from napts.optim.composition import Composition
from napts.optim.correction import ForcedAs, ForcedDecrease
from napts.optim.exact import ExactSubdomains
from napts.optim.history import Window
from napts.optim.local_trust_region import LocalTrustRegion
from napts.optim.option import Amendment, Option
from napts.optim.options import CORRECTION_WEIGHTS, ModelOptions, TrustRegionOptions
from napts.optim.subdomains import ParameterSets


class APTSWOptions(TrustRegionOptions, ModelOptions, total=False):
    """Options of :class:`APTSW`."""

    local_steps: Annotated[
        int,
        Option(
            5,
            "Local trust-region steps ``nu`` of each subdomain, rejected ones included.",
            within="[1, 10000]",
        ),
    ]
    local_budget: Annotated[
        float,
        Option(
            1.0,
            "Share of the radius that a subdomain may use. 1 in the paper, 0.5 in its authors' "
            "code.",
            within="(0, 1]",
        ),
    ]
    forced_decrease: Annotated[
        bool,
        Option(
            False,
            "The flag ``fdl``: take the proposal only if the loss does not grow; otherwise try the "
            "weights of ``correction``. Without it, every proposal with a finite loss is taken.",
        ),
    ]
    forced_as: Annotated[
        ForcedAs,
        Option(
            "paper",
            "Which correction: the paper's, or that of one of its authors' programs; see "
            ":class:`napts.optim.correction.ForcedDecrease`.",
            before="paper",
        ),
    ]
    correction: Annotated[
        Sequence[float],
        Option(
            CORRECTION_WEIGHTS,
            "Weights of the gradient step, in the order tried; the last one is taken in any case.",
            within="(0, 1]",
            noun="weights",
        ),
    ]


_ALSO_LOCAL = ("shrink", "grow", "eta_1", "eta_2", "direction")


class APTSW(SubdomainMethod):
    r"""Additively preconditioned trust-region strategy in weights, with exact subdomains.

    Each batch starts with one forward and backward. Every subdomain then takes up to
    ``local_steps`` trust-region steps on the loss itself over its own parameters, with the others
    frozen. The sum of their steps is taken or, with forced decrease, turned towards the gradient
    until the loss does not grow. One global trust-region step follows; only this step changes the
    radius. With mini-batches the method is called SAPTS. A batch with ``N`` subdomains and ``nu``
    local steps costs at most ``N * nu + 3`` forwards, one more per correction and further global
    try, and ``N * (nu - 1) + 2`` backwards.

    The paper caps the local radius by what is left of the global one. A first-order step in the
    infinity norm is as long as its radius, so the first accepted step uses up all there is; a
    subdomain takes further steps only after a rejection. At the iterate, the gradient of a
    subdomain's loss is its part of the global gradient, so no first-order consistency term is
    needed.

    Args:
        sets: The subdomains, from :func:`napts.deal_parameters`; layer blocks of
            :func:`napts.partition_layers` will do.

    Raises:
        ValueError: If an argument is out of range.

    Reference: APTS in weights (arXiv 2312.13677), Algorithm 1 and section 3.1.

    Example:
        >>> sets = napts.deal_parameters(model, n_subdomains=6)
        >>> optimizer = napts.APTSW(sets, order=2, **napts.preset("APTSW", "apts-2023"))
    """

    pipeline_ok = False
    shared_by = "subdomains"
    amended = (
        Amendment(
            "norm",
            "The infinity norm in the paper; in the 2-norm a subdomain may use ``radius / "
            "sqrt(N)`` (ours).",
            default="inf",
        ),
        Amendment("max_tries", "Applies to the global step; 1 in the paper.", default=1),
        Amendment(
            "order",
            "Applies to local steps too, whose first pairs are the parts of the global ones.",
        ),
        *(Amendment(name, "Applies to local steps too.") for name in _ALSO_LOCAL),
    )

    def __init__(self, sets: ParameterSets, **options: Unpack[APTSWOptions]) -> None:
        if not isinstance(sets, ParameterSets):
            raise ValueError(
                f"Invalid sets: {type(sets).__name__}, must be sets of parameters such as "
                "napts.deal_parameters(model, n_subdomains=6)"
            )
        super().__init__(sets, options)

    def _compose(self, options: dict[str, Any]) -> Composition:
        model, rule = members.local_model(options), RadiusRule.of(options)
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
            tracker=members.tracker(options),
        )
