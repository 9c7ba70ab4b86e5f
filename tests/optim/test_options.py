"""An option is written once: what signature, help and checks say follows from its definition."""

import copy
import inspect
import pickle
from typing import Annotated, Any

import pytest
import torch

import napts
from napts.optim.interval import Interval
from napts.optim.option import Amendment, Definition, Option
from tests.helpers.networks import make, plain

OURS = ("TR", "NTR", "APTS", "APTSA", "NAPTS", "APTSW", "APTSD")


@pytest.mark.parametrize("name", OURS)
def test_signature_help_and_group_agree(name: str) -> None:
    method = getattr(napts, name)
    signature = inspect.signature(method)
    assert list(signature.parameters)[1:] == list(method.definitions)
    assert signature.parameters.keys() == inspect.signature(method.__init__).parameters.keys() - {
        "self"
    }
    for option, definition in method.definitions.items():
        parameter = signature.parameters[option]
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
        assert parameter.default == definition.default
        assert f"    {option} (" in method.__doc__
        for word in definition.option.meaning.split()[:3]:
            assert word in method.__doc__
    assert "See :class:`TR`" not in method.__doc__
    model = plain()
    optimizer = napts.APTSD(model.parameters()) if name == "APTSD" else make(name, model)
    group = optimizer.param_groups[0]
    assert set(group) == {"params", "lr", *method.definitions}


def test_a_method_may_have_its_own_default_and_note() -> None:
    assert inspect.signature(napts.APTSW).parameters["norm"].default == "inf"
    assert inspect.signature(napts.TR).parameters["norm"].default == "l2"
    assert "The infinity norm in the paper" in (napts.APTSW.__doc__ or "")
    assert "The infinity norm in the paper" not in (napts.TR.__doc__ or "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"radius": -1.0}, "Invalid radius: -1.0, must be above 0"),
        ({"radius": "x"}, "Invalid radius: x, must be above 0"),
        ({"radius": 5.0}, r"Invalid radius: 5.0, must lie in \[0.001, 2.0\]"),
        ({"shrink": 1}, r"Invalid shrink: 1, must be in \(0, 1\)"),
        ({"eta_1": 0.8}, r"Invalid eta_1: 0.8, must be in \(0, eta_2\]"),
        ({"eta_2": -1}, r"Invalid eta_2: -1, must be in \(0, 1\)"),
        ({"norm": ["l2"]}, r"Invalid norm: \['l2'\], must be one of l2, inf"),
        ({"order": 1.0}, "Invalid order: 1.0, must be 1 or 2"),
        ({"pairs": True}, r"Invalid pairs: True, must be integer in \[1, 1000\]"),
        ({"window": -1}, r"Invalid window: -1, must be integer in \[0, 1000000\]"),
        ({"weight_decay": 1.5, "decoupled_weight_decay": True}, "below 1 if it is decoupled"),
    ],
)
def test_options_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        napts.NTR([torch.zeros(2, requires_grad=True)], **options)


def test_unknown_options_are_refused_as_by_python() -> None:
    parameters: Any = [torch.zeros(2, requires_grad=True)]
    unknown: dict[str, Any] = {"windw": 3}
    message = r"NTR.__init__\(\) got an unexpected keyword argument 'windw'\. Did you mean 'window'"
    with pytest.raises(TypeError, match=message):
        napts.NTR(parameters, **unknown)


class WithMore(napts.NTR):
    """A method with an option of its own.

    Args:
        params: Parameters.
    """

    amended = (Amendment("window", "Longer here.", default=9),)

    def __init__(
        self, params: Any, *, alpha: Annotated[float, Option(within="(0, 1)")] = 0.5, **options: Any
    ) -> None:
        super().__init__(params, alpha=alpha, **options)


class Further(WithMore):
    """Another.

    Args:
        params: Parameters.
    """

    amended = (Amendment("alpha", default=0.25),)


def test_subclasses_inherit_and_add_options() -> None:
    parameters = inspect.signature(WithMore).parameters
    assert (parameters["alpha"].default, parameters["window"].default) == (0.5, 9)
    further = Further([torch.zeros(2, requires_grad=True)], shrink=0.25)
    group = further.param_groups[0]
    assert (group["window"], group["shrink"]) == (9, 0.25)
    assert inspect.signature(Further).parameters["alpha"].default == 0.25
    assert napts.NTR.definitions["window"].default == 5
    with pytest.raises(ValueError, match=r"Invalid alpha: 1.5, must be in \(0, 1\)"):
        Further([torch.zeros(2, requires_grad=True)], alpha=1.5)


def test_copies_know_their_options() -> None:
    optimizer = WithMore([torch.zeros(2, requires_grad=True)], alpha=0.25)
    for twin in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        assert twin.param_groups[0]["alpha"] == 0.25
        twin.param_groups[0]["alpha"] = 2.0
        with pytest.raises(ValueError, match=r"Invalid alpha: 2\.0"):
            twin.step(lambda t=twin: t.param_groups[0]["params"][0].square().sum())


def test_intervals() -> None:
    for text, inside, outside, words in (
        ("(0, 1]", (0.1, 1), (0, 1.1, float("nan"), "x", None), "in (0, 1]"),
        ("[0, inf)", (0, 1e300), (-1, float("inf")), "at least 0"),
        ("(1, inf]", (1.5, float("inf")), (1,), "above 1"),
    ):
        interval = Interval.parse(text)
        assert str(interval) == words
        assert all(value in interval for value in inside)
        assert not any(value in interval for value in outside)
    assert Interval.parse("(0, eta_2]").holds(0.5, {"eta_2": 0.5})
    with pytest.raises(ValueError, match="Invalid interval: '0 to 1'"):
        Interval.parse("0 to 1")


def test_a_definition_from_an_annotation() -> None:
    found = Definition.of("x", Annotated[tuple[float, float], Option(within="[0, 1)")], (0.1, 0.2))
    assert found.default == (0.1, 0.2)
    found.check({"x": [0.0, 0.5]})
    for wrong in ([0.5], [0.5, 1.0], 3):
        with pytest.raises(ValueError, match=r"Invalid x: .*, must be in \[0, 1\)"):
            found.check({"x": wrong})
