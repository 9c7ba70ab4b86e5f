"""Members of the four families, made from the options of the method that composes them."""

from collections.abc import Mapping
from typing import Any

from napts.optim.cadam import CAdam
from napts.optim.correction import ConvexCombinations, Correction, ShrinkingRadius
from napts.optim.history import ConstantMemory, History, Window
from napts.optim.local_model import FirstOrder, LocalModels
from napts.optim.moments import KeptMoments, ResetMoments
from napts.optim.quadratic_model import SecondOrder
from napts.optim.schwarz import AdditiveSchwarz
from napts.optim.signature import definitions_in
from napts.optim.sr1 import LimitedMemorySR1
from napts.optim.subdomains import Decomposition
from napts.optim.tracking.evidence import Evidence
from napts.optim.tracking.options import TrackingOptions
from napts.optim.tracking.rule import Probing, TrackingRule
from napts.optim.tracking.tracker import Tracker

_OPEN = ("radius_min", "radius_max", "shrink", "caution", "probe_every")


def local_model(options: Mapping[str, Any]) -> LocalModels:
    """Compose the local model."""
    if options.get("order") == 2:
        return SecondOrder(options["norm"], LimitedMemorySR1(options["pairs"]))
    return FirstOrder(options["norm"], options["direction"])


def history(options: Mapping[str, Any]) -> History:
    """Compose a memory."""
    kind = ConstantMemory if options["history"] == "constant-memory" else Window
    return kind(options["window"])


def tracker(options: Mapping[str, Any]) -> Tracker | None:
    """Compose what moves the radius from batch to batch; nothing, if the ratios of trials do.

    The constants that are not among the options are the defaults of :class:`napts.TTR`.
    """
    if options["radius_rule"] == "ratio":
        return None
    fixed = {name: d.default for name, d in definitions_in(TrackingOptions).items()}
    known = {**fixed, **{name: options[name] for name in _OPEN}}
    return Tracker(TrackingRule.of(known), Probing.of(known), Evidence(known["memory"]))


def schwarz(options: Mapping[str, Any], decomposition: Decomposition) -> AdditiveSchwarz:
    """Compose the preconditioner with CAdam as its local solver."""
    solver = CAdam(
        steps=options["local_steps"],
        betas=tuple(options["betas"]),
        eps=options["eps"],
        cap=options["cap"],
        norm=options["norm"],
        moments=KeptMoments() if options["moments"] == "kept" else ResetMoments(),
    )
    return AdditiveSchwarz(
        decomposition,
        solver,
        last_block_exact=options["last_block_exact"],
        shares=options["shares"],
        fraction=options["local_fraction"],
        precision=options["local_precision"],
    )


def correction(options: Mapping[str, Any]) -> Correction | None:
    """Compose the correction; no weights, no mixtures."""
    if options["retry"] == "shrink":
        return ShrinkingRadius(options["max_tries"])
    weights = tuple(options["correction"])
    return ConvexCombinations(weights) if weights else None
