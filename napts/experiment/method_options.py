"""Validated options of every method, as they stand in a spec."""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from napts.decomposition import Deal
from napts.experiment.path_options import SchedulerOptions
from napts.optim.cadam import Cap
from napts.optim.composition import GlobalStep
from napts.optim.correction import ForcedAs, Retry
from napts.optim.local_model import Direction
from napts.optim.moments import KeepMoments
from napts.optim.options import (
    CORRECTION_WEIGHTS,
    HistoryKind,
    HistoryScope,
    Order,
    check,
    default_radii,
)
from napts.optim.precision import LocalPrecision
from napts.optim.presets import preset
from napts.optim.regions import RadiusFloor
from napts.optim.schwarz import Shares
from napts.optim.vectors import Norm
from napts.records.younger import YOUNGER

Positive = Annotated[float, Field(gt=0.0)]
Fraction = Annotated[float, Field(gt=0.0, lt=1.0)]
Weight = Annotated[float, Field(gt=0.0, le=1.0)]
Decay = Annotated[float, Field(ge=0.0, lt=1.0)]
Betas = Annotated[tuple[Decay, Decay], Field(strict=False)]

_NOT_ARGUMENTS = {"method", "scheduler", "subdomains", "compile_local", "deal"}
_RADII = ("radius", "radius_min", "radius_max")


class Options(BaseModel):
    """Base of all parts of a spec: unknown keys, infinite numbers and lax types are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class MethodOptions(Options):
    """Options of a method.

    Attributes:
        method: Its name, which tells the models apart.
        scheduler: A learning-rate scheduler by its import path, or None. For the trust-region
            methods the learning rate is a factor of the largest radius.
    """

    method: str
    scheduler: SchedulerOptions | None = None

    @model_serializer(mode="wrap")
    def _told(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what is not given and was not known to older specs and keys."""
        told = serialize(self)
        return {n: v for n, v in told.items() if v is not None or n not in self.younger_fields()}

    @classmethod
    def younger_fields(cls) -> tuple[str, ...]:
        """Return the fields that are not told where they are None."""
        return ("scheduler",)

    @property
    def title(self) -> str:
        """What the method is called in tables: its name, without the path before it."""
        return self.method.rpartition(".")[2]

    def science(self) -> dict[str, Any]:
        """Return what determines the result, as plain data."""
        fields, values = type(self).model_fields, self.model_dump(mode="json")
        unused = {n for n in YOUNGER if n in fields and values[n] == fields[n].default}
        return {name: value for name, value in values.items() if name not in unused}

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of the optimizer's constructor."""
        return self.model_dump(exclude=_NOT_ARGUMENTS)


class TrustRegionOptions(MethodOptions):
    """Options of every trust-region method; the meanings are documented at `napts.TR`.

    The radii default by the norm, and are stored with their values. The smallest one is fixed
    unless a spec says otherwise, as in the papers and in all runs before there was a choice; the
    constructors' default is the other one.

    Attributes:
        preset: A name in `napts.PRESETS` for the options it holds; they are what is stored.
    """

    radius: Positive
    radius_min: Positive
    radius_max: Positive
    shrink: Fraction = 0.5
    grow: Annotated[float, Field(gt=1.0)] = 2.0
    eta_1: Fraction = 0.25
    eta_2: Fraction = 0.75
    norm: Norm = "l2"
    direction: Direction = "scaled_gradient"
    max_tries: Annotated[int, Field(ge=1)] = 5
    radius_floor: RadiusFloor = "fixed"
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.0
    decoupled_weight_decay: bool = False
    preset: str | None = Field(default=None, exclude=True)

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        if isinstance(data.get("preset"), str):
            data = {**preset(str(data.get("method")), data["preset"]), **data}
        given = {name: data.get(name) for name in _RADII}
        norm = "inf" if data.get("norm", cls.model_fields["norm"].default) == "inf" else "l2"
        return {**data, **default_radii(norm, **given)}

    @model_validator(mode="after")
    def _agree(self) -> Self:
        check(self.arguments())
        return self


class HistoryOptions(MethodOptions):
    """Options of the non-monotone methods; documented at `napts.NTR`."""

    window: Annotated[int, Field(ge=0)] = 5
    history: HistoryKind = "windowed"
    history_scope: HistoryScope = "rolling"


class SchwarzOptions(TrustRegionOptions):
    """Options of the methods with subdomains; documented at `napts.NAPTS`.

    Attributes:
        subdomains: Number of layer blocks; None stands for the workload's default.
        compile_local: Compile the blocks for their local steps; see `napts.partition_layers`.
    """

    subdomains: Annotated[int, Field(ge=1)] | None = None
    local_steps: Annotated[int, Field(ge=1)] = 5
    cap: Cap = "scale"
    betas: Betas = (0.9, 0.999)
    eps: Positive = 1e-8
    last_block_exact: bool = False
    moments: KeepMoments = "reset"
    shares: Shares = "equal"
    local_fraction: Weight = 1.0
    local_precision: LocalPrecision = "full"
    compile_local: bool = False


class CorrectionOptions(MethodOptions):
    """Options of what follows the proposal; documented at `napts.NAPTS`."""

    correction: Annotated[tuple[Weight, ...], Field(strict=False)] = CORRECTION_WEIGHTS
    retry: Retry = "mixture"
    global_step: GlobalStep = "always"
    shared_radius: bool = True


class ModelOptions(TrustRegionOptions):
    """Options of the local model; documented at `napts.TR`."""

    order: Order = 1
    pairs: Annotated[int, Field(ge=1)] = 5


class TROptions(ModelOptions):
    """Options of `napts.TR`."""


class NTROptions(HistoryOptions, ModelOptions):
    """Options of `napts.NTR`."""


class APTSOptions(CorrectionOptions, SchwarzOptions):
    """Options of `napts.APTS`."""


class APTSAOptions(SchwarzOptions):
    """Options of `napts.APTSA`."""


class NAPTSOptions(HistoryOptions, CorrectionOptions, SchwarzOptions):
    """Options of `napts.NAPTS`."""

    shared_history: bool = True


class APTSWOptions(ModelOptions):
    """Options of `napts.APTSW`, where they are documented.

    Attributes:
        subdomains: Number of parameter sets; None stands for the workload's default.
        deal: How parameters are dealt to them; see `napts.deal_parameters`. The seed of the run is
            that of the shuffle.
    """

    subdomains: Annotated[int, Field(ge=1)] | None = None
    deal: Deal = "random"
    local_steps: Annotated[int, Field(ge=1)] = 5
    local_budget: Weight = 1.0
    forced_decrease: bool = False
    forced_as: ForcedAs = "paper"
    correction: Annotated[tuple[Weight, ...], Field(strict=False)] = CORRECTION_WEIGHTS
    norm: Norm = "inf"
    max_tries: Annotated[int, Field(ge=1)] = 1


class APTSDOptions(ModelOptions):
    """Options of `napts.APTSD`, where they are documented."""

    shards: Annotated[int, Field(ge=1)] = 2
    local_steps: Annotated[int, Field(ge=1)] = 5
    consistent: bool = True
    max_tries: Annotated[int, Field(ge=1)] = 1


class AdamOptions(MethodOptions):
    """Options of `torch.optim.Adam`, with its defaults.

    Attributes:
        lr: Learning rate.
        betas: Decay rates of the two moments.
        eps: Added to the denominator.
    """

    lr: Positive = 1e-3
    betas: Betas = (0.9, 0.999)
    eps: Positive = 1e-8


class SGDOptions(MethodOptions):
    """Options of `torch.optim.SGD`.

    Attributes:
        lr: Learning rate; 0.1 is our choice.
        momentum: Momentum in [0, 1); 0.9 is our choice.
    """

    lr: Positive = 0.1
    momentum: Decay = 0.9


class LBFGSOptions(MethodOptions):
    """Options of `torch.optim.LBFGS`.

    Attributes:
        lr: Learning rate, the first trial length of the line search.
        history_size: Pairs that are remembered.
        max_iter: Iterations on one batch. One is our choice: the curvature pairs then come from
            successive batches and a step costs about as much as those of the other methods.
        line_search: "strong_wolfe" or "none".
    """

    lr: Positive = 1.0
    history_size: Annotated[int, Field(ge=1)] = 10
    max_iter: Annotated[int, Field(ge=1)] = 1
    line_search: Literal["strong_wolfe", "none"] = "strong_wolfe"

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of `torch.optim.LBFGS`."""
        arguments = super().arguments()
        line_search = arguments.pop("line_search")
        return {**arguments, "line_search_fn": None if line_search == "none" else line_search}
