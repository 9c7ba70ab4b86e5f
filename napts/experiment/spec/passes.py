"""Which runs can have cheaper passes: compiled ones, and such in lower precision."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from napts.problems import Problem

if TYPE_CHECKING:
    from napts.experiment.spec.run_spec import RunSpec


def check_passes(spec: "RunSpec", workload: Problem) -> None:
    """Check that the run can have the passes that its ``[execution]`` asks for.

    Args:
        spec: The run.
        workload: Its problem.

    Raises:
        ValueError: It cannot.
    """
    execution = spec.execution
    if execution.compile:
        reasons = [*_obstacles(spec, workload), *_to_compilation(spec)]
        _refuse("compile", "true", "false", reasons)
    if execution.autocast != "none":
        reasons = [*_obstacles(spec, workload), *_to_precision(spec)]
        _refuse("autocast", execution.autocast, "none", reasons)


def _refuse(name: str, found: str, allowed: str, reasons: list[str]) -> None:
    if reasons:
        raise ValueError(f"execution.{name}: found {found}, allowed: {allowed} {reasons[0]}")


def _obstacles(spec: "RunSpec", workload: Problem) -> Iterator[str]:
    if workload.needs_grad:
        own = "; there is workload.compile" if hasattr(workload.options, "compile") else ""
        yield f"for {workload.name}, whose loss takes derivatives by the inputs{own}"
    if workload.closed_form:
        yield f"for {workload.name}, whose loss is evaluated without calling the network"
    if spec.pipeline is not None:
        yield "with [pipeline]"


def _to_compilation(spec: "RunSpec") -> Iterator[str]:
    if spec.execution.ranks > 1:
        yield "with execution.ranks > 1"
    if spec.differentiates_twice:
        yield f"for {spec.method.name}, which takes second derivatives"


def _to_precision(spec: "RunSpec") -> Iterator[str]:
    if spec.precision == "float64":
        yield 'with precision = "float64", which autocast leaves as it is'
