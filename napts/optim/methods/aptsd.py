"""APTS in data: a trust region whose subdomains are shards of the batch."""

from collections.abc import Iterable
from typing import Annotated, Any, Unpack

from napts.optim import members
from napts.optim.acceptance import RadiusRule
from napts.optim.bases import PlainTrustRegion
from napts.optim.composition import Composition
from napts.optim.history import Window
from napts.optim.local_trust_region import LocalTrustRegion
from napts.optim.option import Amendment, Option
from napts.optim.options import ModelOptions, TrustRegionOptions
from napts.optim.shards import Shards


class APTSDOptions(TrustRegionOptions, ModelOptions, total=False):
    """Options of :class:`APTSD`."""

    shards: Annotated[int, Option(2, "Number of shards ``P``.", within="[1, 1000000]")]
    local_steps: Annotated[
        int,
        Option(
            5,
            "Local trust-region steps ``nu`` of each shard, rejected ones included. 5 in the "
            "authors' code.",
            within="[1, 10000]",
        ),
    ]
    consistent: Annotated[
        bool,
        Option(
            True,
            "Add the first-order term to each shard's loss; see "
            ":class:`napts.optim.shards.Shards`.",
        ),
    ]


_ALSO_LOCAL = ("shrink", "grow", "eta_1", "eta_2", "direction")


class APTSD(PlainTrustRegion):
    r"""Additively preconditioned trust-region strategy in data.

    Each batch starts with one forward and backward. Every shard then takes up to ``local_steps``
    trust-region steps over all parameters, on its own loss, which agrees with the whole loss to
    first order. The combined step is tested against the decrease that the shards promised, and one
    global trust-region step follows. The loss of a batch is the mean of its shards' losses. They
    are evaluated one by one, so that their gradients at the iterate cost nothing more. With equal
    shards an accepted batch costs at most ``local_steps + 3`` forwards and ``local_steps + 1``
    backwards; passes over shards count by their share.

    Its ``step`` takes a :class:`napts.Batch`. Several processes can share the shards, as described
    there; every pass is then shared.

    Args:
        params: Parameters or groups of them.

    Raises:
        ValueError: If an argument is out of range.

    Reference: APTS in data (ENUMATH 2023), from its slides and its authors' code. What an averaged
            step promises is derived here (their code keeps the sum, which makes the ratio ``P``
            times too small).
    """

    pipeline_ok = False
    shared_by = "shards"
    amended = (
        Amendment(
            "norm", "The shards' steps are added in the 2-norm and averaged in the infinity norm."
        ),
        Amendment("max_tries", "Applies to the global step; 1 in the authors' code.", default=1),
        Amendment("order", "Applies to local steps too, which start with the global pairs."),
        *(Amendment(name, "Applies to local steps too.") for name in _ALSO_LOCAL),
    )

    def __init__(self, params: Iterable[Any], **options: Unpack[APTSDOptions]) -> None:
        super().__init__(params, options)

    def _compose(self, options: dict[str, Any]) -> Composition:
        model, rule = members.local_model(options), RadiusRule.of(options)
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
            tracker=members.tracker(options),
        )
