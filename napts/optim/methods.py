"""TR, NTR, APTS, APTSA and NAPTS: five compositions of the same four families."""

from collections.abc import Iterable, Sequence
from typing import Any

from napts.optim import options as compose
from napts.optim.bases import PlainTrustRegion, SchwarzMethod, gather
from napts.optim.cadam import Cap
from napts.optim.correction import Retry
from napts.optim.history import Window
from napts.optim.local_model import Direction
from napts.optim.moments import KeepMoments
from napts.optim.options import CORRECTION_WEIGHTS, HistoryKind, HistoryScope, Order
from napts.optim.precision import LocalPrecision
from napts.optim.regions import RadiusFloor
from napts.optim.schwarz import Shares
from napts.optim.subdomains import Decomposition
from napts.optim.trust_region import Composition, GlobalStep
from napts.optim.vectors import Norm


class TR(PlainTrustRegion):
    r"""Classical trust region, of first order in the NAPTS paper, whose baseline it is.

    Per batch: one forward and backward, then tries ``theta_k + s`` with ``s`` the model's step in
    the region, one forward each, until ``rho >= eta_1``; every failure shrinks the radius.

    Args:
        params: Parameters or groups of them.
        radius: Initial radius; ``None``: 0.1 for ``norm="l2"`` (our choice), 1e-2 for ``"inf"``
            (APTS in weights, 2023, section 3.1).
        radius_min: Smallest radius; ``None``: 1e-3 or 1e-4 likewise.
        radius_max: Largest radius; ``None``: 2 or 1e-1 likewise.
        shrink: Factor in (0, 1) on failure.
        grow: Factor above 1 on great success.
        eta_1: Acceptance threshold, in (0, eta_2].
        eta_2: Ratio above which the radius grows, in (0, 1).
        norm: Norm of the region, ``"l2"`` or ``"inf"``. The paper does not print its norm;
            the 2-norm is our choice.
        direction: ``"scaled_gradient"``, ``"sign"`` or ``"l2"``; see
            :class:`napts.optim.local_model.FirstOrder`.
        order: 1 for the first-order model, 2 for one with limited-memory SR1 curvature, which is
            minimised exactly in the 2-norm (``direction`` is then not used); see
            :class:`napts.optim.quadratic_model.SecondOrder`.
        pairs: How many pairs of steps and changes of the gradient the curvature is made of, at
            least 1. 5 is the number of APTS in weights (2023), section 3.1.
        max_tries: Tries on one batch, at least 1; 1 is the textbook iteration. The loop also
            ends at the smallest radius, where a further try would repeat the last.
        radius_floor: What ``radius_min`` is: ``"fixed"`` (the papers), or ``"yielding"`` (ours),
            which holds as long as steps get accepted; see :class:`napts.optim.regions.Regions`.
        weight_decay: At least 0; may differ between groups. ``weight_decay / 2 * ||theta||^2`` is
            part of the loss, wherever that is measured, in what ``step`` returns too.
        decoupled_weight_decay: The weights shrink by the factor ``1 - lr * weight_decay`` once per
            step before it starts, and the loss knows nothing of it; not judged by the acceptance
            test, undone if there is no step.

    Options in ``param_groups`` may be edited, as those of any torch optimizer: an edit holds from
    the next step on, memories stay where they still mean something, and ``radius`` sets the current
    radius, as ``optimizer.radius = 0.05`` does. All groups have one trust region, so that nothing
    but ``weight_decay`` may differ between them; what is edited in the first group alone holds for
    all.

    Learning-rate schedulers drive the entry ``lr`` of each group, 1.0 at first and no argument: it
    is a factor on ``radius_max`` (our choice). The largest radius is ``lr * radius_max``, the
    smallest ``radius_min`` or that, and the present radius is cut to them. With ``lr = 0`` a step
    measures the loss and does nothing else. A peak is a factor too: ``OneCycleLR(optimizer,
    max_lr=1.0, cycle_momentum=False, ...)``.

    When parameters are frozen, unfrozen or added between steps, everything follows: remembered
    iterates are completed with present values, pairs of the second-order model forgotten, kept
    moments go on for blocks that are as they were.

    Raises:
        ValueError: If an argument is out of range.

    Reference: Conn, Gould, Toint, *Trust-Region Methods* (2000), Algorithm 6.1.1; APTS in weights
    (arXiv 2312.13677), sections 2 and 3.1, for the parameters
    and the second-order model.
    """

    def __init__(
        self,
        params: Iterable[Any],
        *,
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
        max_tries: int = 5,
        radius_floor: RadiusFloor = "yielding",
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
    ) -> None:
        super().__init__(params, gather(locals()))

    def _compose(self, options: dict[str, Any]) -> Composition:
        return Composition(
            compose.local_model(options),
            compose.radius_rule(options),
            options["max_tries"],
            global_history=Window(0),
        )


class NTR(PlainTrustRegion):
    r"""Non-monotone trust region: :class:`TR` whose trials may also be measured against the past.

    Accepts if ``max(rho_c, rho_h) >= eta_1`` with the two ratios of NAPTS eq. (9).

    Args:
        params: Parameters or groups of them.
        window: Number of past successes that are remembered, at least 0; 0 gives TR. Not printed
            in the paper, 5 is our choice.
        history: ``"windowed"`` (NAPTS eqs. (6) to (8)) or ``"constant-memory"`` (CGT Algorithm
            10.1.2), which is for losses of one batch: on mini-batches its reference freezes after
            a lucky one. There use ``"windowed"`` or ``history_scope="per_batch"``, or ``"reeval"``
            to measure the frozen reference on the current batch at least; see
            :class:`napts.optim.history.ConstantMemory`.
        history_scope: What a remembered loss means on another mini-batch, which the paper leaves
            open: ``"rolling"`` takes it as it was (our choice), ``"reeval"`` measures the
            reference again on the current batch (one forward, and a copy of the parameters per
            remembered success), ``"per_batch"`` forgets at every batch.
        radius: See :class:`TR`, as for all arguments below.
        radius_min: See :class:`TR`.
        radius_max: See :class:`TR`.
        shrink: See :class:`TR`.
        grow: See :class:`TR`.
        eta_1: See :class:`TR`.
        eta_2: See :class:`TR`.
        norm: See :class:`TR`.
        direction: See :class:`TR`.
        order: See :class:`TR`.
        pairs: See :class:`TR`.
        max_tries: See :class:`TR`.
        radius_floor: See :class:`TR`.
        weight_decay: See :class:`TR`.
        decoupled_weight_decay: See :class:`TR`.

    Raises:
        ValueError: If an argument is out of range.

    Reference: NAPTS (arXiv 2605.14860), section 2.2, eqs. (5) to (9), whose formulas are
    reconstructed from its prose; Conn, Gould, Toint, Algorithms 10.1.1 and 10.1.2.
    """

    def __init__(
        self,
        params: Iterable[Any],
        *,
        window: int = 5,
        history: HistoryKind = "windowed",
        history_scope: HistoryScope = "rolling",
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
        max_tries: int = 5,
        radius_floor: RadiusFloor = "yielding",
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
    ) -> None:
        super().__init__(params, gather(locals()))

    def _compose(self, options: dict[str, Any]) -> Composition:
        return Composition(
            compose.local_model(options),
            compose.radius_rule(options),
            options["max_tries"],
            global_history=compose.history(options),
            reevaluate=options["history_scope"] == "reeval",
            forget=options["history_scope"] == "per_batch",
        )


class NAPTS(SchwarzMethod):
    r"""Non-monotone additively preconditioned trust-region strategy.

    Per batch (Algorithm 1): one global forward and backward caches what every subdomain needs;
    each subdomain takes ``local_steps`` CAdam steps on its own; their sum is tested against the
    current loss and the history, and, if it fails, mixed with the gradient step; a non-monotone
    trust-region step on the same batch follows. Cost of an accepted batch: two global forwards
    and backwards, ``local_steps - 1`` local passes, one forward.

    Args:
        stages: The subdomains, from :func:`napts.partition_layers`.
        window: Number of past successes remembered, at least 0; 0 gives APTS (section 2.3). Not
            printed in the paper, 5 is our choice.
        history: ``"windowed"`` or ``"constant-memory"``; see :class:`NTR`.
        history_scope: ``"rolling"``, ``"reeval"`` or ``"per_batch"``; see :class:`NTR`.
        shared_history: One memory for proposals and global steps (our choice), or one each.
        shared_radius: One radius for proposals and global steps (our choice), or one each.
        local_steps: CAdam steps ``T`` per subdomain, at least 1. Not printed in the paper; 5 is
            the number of local steps of APTS in weights (2023).
        cap: How CAdam shortens its steps, ``"scale"`` or ``"clip"``.
        betas: CAdam's decay rates, as in the authors' earlier code.
        eps: CAdam's denominator term, likewise.
        last_block_exact: See :class:`napts.optim.schwarz.AdditiveSchwarz`.
        moments: ``"reset"`` starts CAdam from zero moments in every iteration (our choice for the
            paper, which does not say), ``"kept"`` goes on with those of the global gradients.
        shares: ``"equal"`` gives each subdomain the same part of the radius (the paper), with
            ``"joint"`` the proposal has the direction that Adam on all subdomains together has.
        local_fraction: Share of the cached batch, in (0, 1], that each local step after the first
            one uses; consecutive steps use consecutive parts. 1 in the paper.
        local_precision: ``"full"``, ``"tf32"`` or ``"bfloat16"`` for those steps' gradients; see
            :func:`napts.optim.precision.reduced`. The loss and its gradient are always in full.
        correction: Weights of eq. (10), each in (0, 1], in the order tried; empty for none.
        retry: What follows a failed proposal: ``"mixture"``, eq. (10), or ``"shrink"``, which
            shrinks the radius and the proposal with it, up to ``max_tries`` times in all (ours).
        global_step: ``"always"`` (the paper), ``"on_failure"``: only if the proposal and its
            corrections were rejected, or ``"never"`` (both ours). Without it an accepted batch
            costs one global forward and backward, ``local_steps - 1`` local passes, one forward.
        radius: See :class:`TR`, as for all arguments below.
        radius_min: See :class:`TR`.
        radius_max: See :class:`TR`.
        shrink: See :class:`TR`.
        grow: See :class:`TR`.
        eta_1: See :class:`TR`.
        eta_2: See :class:`TR`.
        norm: See :class:`TR`.
        direction: See :class:`TR`.
        max_tries: Tries of the global step; see :class:`TR`.
        radius_floor: See :class:`TR`.
        weight_decay: See :class:`TR`.
        decoupled_weight_decay: See :class:`TR`.

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

    def __init__(
        self,
        stages: Decomposition,
        *,
        window: int = 5,
        history: HistoryKind = "windowed",
        history_scope: HistoryScope = "rolling",
        shared_history: bool = True,
        shared_radius: bool = True,
        local_steps: int = 5,
        cap: Cap = "scale",
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        last_block_exact: bool = False,
        moments: KeepMoments = "reset",
        shares: Shares = "equal",
        local_fraction: float = 1.0,
        local_precision: LocalPrecision = "full",
        correction: Sequence[float] = CORRECTION_WEIGHTS,
        retry: Retry = "mixture",
        global_step: GlobalStep = "always",
        radius: float | None = None,
        radius_min: float | None = None,
        radius_max: float | None = None,
        shrink: float = 0.5,
        grow: float = 2.0,
        eta_1: float = 0.25,
        eta_2: float = 0.75,
        norm: Norm = "l2",
        direction: Direction = "scaled_gradient",
        max_tries: int = 5,
        radius_floor: RadiusFloor = "yielding",
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
    ) -> None:
        super().__init__(stages, gather(locals()))

    def _compose(self, options: dict[str, Any]) -> Composition:
        memory = compose.history(options)
        return Composition(
            compose.local_model(options),
            compose.radius_rule(options),
            options["max_tries"],
            global_history=memory,
            proposal_history=memory if options["shared_history"] else compose.history(options),
            preconditioner=compose.schwarz(options, self._decomposition),
            correction=compose.correction(options),
            global_step=options["global_step"],
            shared_radius=options["shared_radius"],
            reevaluate=options["history_scope"] == "reeval",
            forget=options["history_scope"] == "per_batch",
        )


class APTS(SchwarzMethod):
    r"""Additively preconditioned trust-region strategy with inexact subdomains.

    NAPTS with the monotone acceptance test: the baseline of the NAPTS paper.

    Args:
        stages: The subdomains, from :func:`napts.partition_layers`.
        local_steps: See :class:`NAPTS`, as for all arguments below.
        cap: See :class:`NAPTS`.
        betas: See :class:`NAPTS`.
        eps: See :class:`NAPTS`.
        last_block_exact: See :class:`NAPTS`.
        moments: See :class:`NAPTS`.
        shares: See :class:`NAPTS`.
        local_fraction: See :class:`NAPTS`.
        local_precision: See :class:`NAPTS`.
        correction: See :class:`NAPTS`.
        retry: See :class:`NAPTS`.
        global_step: See :class:`NAPTS`.
        shared_radius: See :class:`NAPTS`.
        radius: See :class:`TR`.
        radius_min: See :class:`TR`.
        radius_max: See :class:`TR`.
        shrink: See :class:`TR`.
        grow: See :class:`TR`.
        eta_1: See :class:`TR`.
        eta_2: See :class:`TR`.
        norm: See :class:`TR`.
        direction: See :class:`TR`.
        max_tries: See :class:`TR`.
        radius_floor: See :class:`TR`.
        weight_decay: See :class:`TR`.
        decoupled_weight_decay: See :class:`TR`.

    Raises:
        ValueError: If an argument is out of range.

    Reference: APTS in weights (arXiv 2312.13677) with the approximate subdomains of NAPTS
    (arXiv 2605.14860), sections 2.1 and 2.3.
    """

    def __init__(
        self,
        stages: Decomposition,
        *,
        local_steps: int = 5,
        cap: Cap = "scale",
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        last_block_exact: bool = False,
        moments: KeepMoments = "reset",
        shares: Shares = "equal",
        local_fraction: float = 1.0,
        local_precision: LocalPrecision = "full",
        correction: Sequence[float] = CORRECTION_WEIGHTS,
        retry: Retry = "mixture",
        global_step: GlobalStep = "always",
        shared_radius: bool = True,
        radius: float | None = None,
        radius_min: float | None = None,
        radius_max: float | None = None,
        shrink: float = 0.5,
        grow: float = 2.0,
        eta_1: float = 0.25,
        eta_2: float = 0.75,
        norm: Norm = "l2",
        direction: Direction = "scaled_gradient",
        max_tries: int = 5,
        radius_floor: RadiusFloor = "yielding",
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
    ) -> None:
        super().__init__(stages, gather(locals()))

    def _compose(self, options: dict[str, Any]) -> Composition:
        return Composition(
            compose.local_model(options),
            compose.radius_rule(options),
            options["max_tries"],
            global_history=Window(0),
            proposal_history=Window(0),
            preconditioner=compose.schwarz(options, self._decomposition),
            correction=compose.correction(options),
            global_step=options["global_step"],
            shared_radius=options["shared_radius"],
        )


class APTSA(SchwarzMethod):
    r"""APTS with aggressive acceptance: every proposal is taken, only the global step is tested.

    A proposal whose loss is NaN or infinite is refused (our choice). The radius changes in the
    global step alone.

    Args:
        stages: The subdomains, from :func:`napts.partition_layers`.
        local_steps: See :class:`NAPTS`, as for all arguments below.
        cap: See :class:`NAPTS`.
        betas: See :class:`NAPTS`.
        eps: See :class:`NAPTS`.
        last_block_exact: See :class:`NAPTS`.
        moments: See :class:`NAPTS`.
        shares: See :class:`NAPTS`.
        local_fraction: See :class:`NAPTS`.
        local_precision: See :class:`NAPTS`.
        radius: See :class:`TR`.
        radius_min: See :class:`TR`.
        radius_max: See :class:`TR`.
        shrink: See :class:`TR`.
        grow: See :class:`TR`.
        eta_1: See :class:`TR`.
        eta_2: See :class:`TR`.
        norm: See :class:`TR`.
        direction: See :class:`TR`.
        max_tries: See :class:`TR`.
        radius_floor: See :class:`TR`.
        weight_decay: See :class:`TR`.
        decoupled_weight_decay: See :class:`TR`.

    Raises:
        ValueError: If an argument is out of range.

    Reference: NAPTS (arXiv 2605.14860), section 3; APTS in weights (arXiv 2312.13677) without
    forced decrease.
    """

    def __init__(
        self,
        stages: Decomposition,
        *,
        local_steps: int = 5,
        cap: Cap = "scale",
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        last_block_exact: bool = False,
        moments: KeepMoments = "reset",
        shares: Shares = "equal",
        local_fraction: float = 1.0,
        local_precision: LocalPrecision = "full",
        radius: float | None = None,
        radius_min: float | None = None,
        radius_max: float | None = None,
        shrink: float = 0.5,
        grow: float = 2.0,
        eta_1: float = 0.25,
        eta_2: float = 0.75,
        norm: Norm = "l2",
        direction: Direction = "scaled_gradient",
        max_tries: int = 5,
        radius_floor: RadiusFloor = "yielding",
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
    ) -> None:
        super().__init__(stages, gather(locals()))

    def _compose(self, options: dict[str, Any]) -> Composition:
        return Composition(
            compose.local_model(options),
            compose.radius_rule(options),
            options["max_tries"],
            global_history=Window(0),
            preconditioner=compose.schwarz(options, self._decomposition),
        )
