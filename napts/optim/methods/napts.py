"""The method of the NAPTS paper."""

from typing import Annotated, Any, Unpack

from napts.optim import members
from napts.optim.acceptance import RadiusRule
from napts.optim.bases import SchwarzMethod
from napts.optim.composition import Composition
from napts.optim.option import Amendment, Option
from napts.optim.options import (
    CorrectionOptions,
    HistoryOptions,
    SchwarzOptions,
    TrustRegionOptions,
)
from napts.optim.subdomains import Decomposition


class NAPTSOptions(
    HistoryOptions, SchwarzOptions, CorrectionOptions, TrustRegionOptions, total=False
):
    """Options of :class:`NAPTS`."""

    shared_history: Annotated[
        bool,
        Option(
            True, "Whether proposals and global steps have one memory (our choice) or one each."
        ),
    ]


class NAPTS(SchwarzMethod):
    r"""Non-monotone additively preconditioned trust-region strategy.

    For each batch (Algorithm 1), one global forward and backward caches what every subdomain needs.
    Each subdomain then takes ``local_steps`` CAdam steps on its own. Their sum is tested against
    the current loss and the history and, if it fails, mixed with the gradient step. A non-monotone
    trust-region step on the same batch follows. An accepted batch costs two global forwards and
    backwards, ``local_steps - 1`` local passes and one forward.

    Args:
        stages: The subdomains, from :func:`napts.partition_layers`.

    Raises:
        ValueError: If an argument is out of range.

    Reference: NAPTS (arXiv 2605.14860), Algorithm 1 and eqs. (2) to (10); the displayed formulas
    and Algorithm 1 are reconstructed from the paper's prose.

    Example:
        >>> stages = napts.partition_layers(model, n_subdomains=4)
        >>> optimizer = napts.NAPTS(stages, window=5, local_steps=5)
        >>> for inputs, targets in loader:
        ...     loss = optimizer.step(lambda: criterion(model(inputs), targets))
    """

    amended = (
        Amendment("window", "0 gives APTS (section 2.3)."),
        Amendment("max_tries", "Applies to the global step."),
    )

    def __init__(self, stages: Decomposition, **options: Unpack[NAPTSOptions]) -> None:
        super().__init__(stages, options)

    def _compose(self, options: dict[str, Any]) -> Composition:
        memory = members.history(options)
        return Composition(
            members.local_model(options),
            RadiusRule.of(options),
            options["max_tries"],
            global_history=memory,
            proposal_history=memory if options["shared_history"] else members.history(options),
            preconditioner=members.schwarz(options, self._decomposition),
            correction=members.correction(options),
            global_step=options["global_step"],
            shared_radius=options["shared_radius"],
            reevaluate=options["history_scope"] == "reeval",
            forget=options["history_scope"] == "per_batch",
            tracker=members.tracker(options),
        )
