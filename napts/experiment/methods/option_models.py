"""Validated options of a method in a spec: a model made from their definitions."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Self, TypedDict

from pydantic import (
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    create_model,
    model_serializer,
    model_validator,
)

from napts.decomposition import Deal, Split
from napts.experiment.methods.option_fields import fields_of
from napts.experiment.methods.path_options import SchedulerOptions
from napts.experiment.spec_table import SpecTable
from napts.optim.described import DescribedOptimizer
from napts.optim.multilevel.time_transfers import TimeTransfer
from napts.optim.option import UNSET, Option
from napts.optim.presets import preset
from napts.optim.signature import Definitions, check, definitions_in, definitions_of, with_radii
from napts.optim.trust_region import TrustRegionOptimizer


class MethodOptions(SpecTable):
    """Options of a method.

    Attributes:
        method: Its name, which distinguishes the models.
        definitions: What the optimizer's constructor takes.
        beside: Further options, about how its subdomains are made.
        scheduler: A learning-rate scheduler by its import path, or None. For the trust-region
            methods the learning rate is a factor on the largest radius.
    """

    model_config = ConfigDict(protected_namespaces=())

    definitions: ClassVar[Definitions] = {}
    beside: ClassVar[Definitions] = {}

    method: str
    scheduler: SchedulerOptions | None = None

    @model_serializer(mode="wrap")
    def _told(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out options that are not given and that older specs and keys did not have."""
        told = serialize(self)
        return {n: v for n, v in told.items() if v is not None or n not in self.left_out_if_none()}

    @classmethod
    def left_out_if_none(cls) -> tuple[str, ...]:
        """Return the fields that are omitted if they are None."""
        return ("scheduler",)

    @property
    def title(self) -> str:
        """The method's name in tables, without the path before it."""
        return self.method.rpartition(".")[2]

    def science(self) -> dict[str, Any]:
        """Return what determines the result, as plain data.

        An option that was added later is left out if it has the value that all earlier runs had.
        """
        before = {n: d.option.before for n, d in {**self.definitions, **self.beside}.items()}
        values = self.model_dump(mode="json")
        return {name: value for name, value in values.items() if value != before.get(name, UNSET)}

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of the optimizer's constructor."""
        return self.model_dump(include=set(self.definitions))


class DescribedOptions(MethodOptions):
    """Options of a method of the package, which are also checked against one another."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        check(self.arguments(), self.definitions)
        return self


class TrustRegionOptions(DescribedOptions):
    """Options of a trust-region method.

    Defaults that depend on the norm are stored with their values.

    Attributes:
        preset: A name in `napts.PRESETS` for a set of options; the options themselves are stored.
    """

    preset: str | None = Field(default=None, exclude=True)

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        if isinstance(data.get("preset"), str):
            data = {**preset(str(data.get("method")), data["preset"]), **data}
        return with_radii(data, cls.definitions)


class StageOptions(TypedDict, total=False):
    """How layer blocks are made."""

    subdomains: Annotated[
        int | None,
        Option(None, "Number of layer blocks; the problem's by default.", within="[1, 1024]"),
    ]
    compile_local: Annotated[
        bool,
        Option(
            False,
            "Compile the blocks for their local steps; see :func:`napts.partition_layers`.",
            before=False,
        ),
    ]


class SetOptions(TypedDict, total=False):
    """How parameter sets are made."""

    subdomains: Annotated[
        int | None,
        Option(None, "Number of parameter sets; the problem's by default.", within="[1, 1024]"),
    ]
    deal: Annotated[
        Deal,
        Option(
            "random",
            "How parameters are dealt to them; see :func:`napts.deal_parameters`. The shuffle is "
            "seeded with the run's seed.",
        ),
    ]


class LayerOptions(TypedDict, total=False):
    """How sets of layers are made."""

    subdomains: Annotated[
        int | None,
        Option(None, "Number of sets of layers; the problem's by default.", within="[1, 1024]"),
    ]
    split: Annotated[
        Split,
        Option(
            "balanced",
            "Every layer in a set, with numbers that differ by at most one (ours), or the sets of "
            "the authors' code; see :func:`napts.split_layers`.",
        ),
    ]
    overlap: Annotated[
        int,
        Option(
            0,
            "How many layers of its neighbours on either side a subdomain also has.",
            within="[0, 1000000]",
        ),
    ]


class HierarchyOptions(TypedDict, total=False):
    """How shallower networks are made."""

    levels: Annotated[
        int,
        Option(
            3,
            "Number of networks; the problem's own is the finest (our choice; 4 in the authors' "
            "command line).",
            within="[1, 6]",
        ),
    ]
    transfer: Annotated[
        TimeTransfer,
        Option(
            "cell",
            "How parameters are transferred from one network to the next; see "
            ":func:`napts.residual_hierarchy`.",
        ),
    ]


_BESIDE: Mapping[str, Definitions] = {
    "parameters": {},
    "stages": definitions_in(StageOptions),
    "sets": definitions_in(SetOptions),
    "layers": definitions_in(LayerOptions),
    "hierarchy": definitions_in(HierarchyOptions),
}


def options_model(name: str, optimizer: Callable[..., Any], needs: str) -> type[MethodOptions]:
    """Make the model of a method's options.

    Args:
        name: Name of the method.
        optimizer: Its class, or a function that makes an optimizer.
        needs: What the optimizer is built on, as in
            :class:`napts.experiment.methods.method.Capabilities`.

    Raises:
        ValueError: A spec cannot hold one of the options.
    """
    base = _base_for(optimizer)
    reserved = {*base.model_fields, "label", "epochs"}
    known, beside = definitions_for(optimizer), _BESIDE[needs]
    fields = fields_of(known, reserved, getattr(optimizer, "__qualname__", name))
    further = fields_of(beside, reserved, name)
    model = create_model(f"{name}Options", __base__=base, **fields, **further)
    model.definitions = {n: d for n, d in known.items() if n in fields}
    model.beside = beside
    return model


def _base_for(optimizer: Callable[..., Any]) -> type[MethodOptions]:
    """Return what the model of a method's options derives from."""
    kind = optimizer if isinstance(optimizer, type) else object
    if issubclass(kind, TrustRegionOptimizer):
        return TrustRegionOptions
    return DescribedOptions if issubclass(kind, DescribedOptimizer) else MethodOptions


def definitions_for(optimizer: Callable[..., Any]) -> Definitions:
    """Return the options of an optimizer, ours or another, from its signature."""
    if isinstance(optimizer, type):
        if issubclass(optimizer, DescribedOptimizer):
            return optimizer.definitions
        return definitions_of(optimizer.__init__, {}, after=2)
    return definitions_of(optimizer, {})
