"""The page on the keys of a spec, made from the models that check it.

``python -m tests.site.spec_page > docs/reference/spec.md`` writes it anew; a test compares both.
"""

import inspect
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from napts.experiment.spec.budget import Budget, Target
from napts.experiment.spec.execution import Execution, Pipelining
from napts.experiment.spec.run_spec import RunSpec
from napts.experiment.spec.study import Study, StudyMethod
from napts.launch.cluster import LocalCluster, SlurmCluster
from napts.launch.search import Random, Range
from napts.launch.space_file import SpaceFile
from napts.launch.sweepfile import Resources, SweepFile, SweepMethod
from napts.problems import options_model, problem_class, problem_names

_INTRODUCTION = """# Keys of a spec

A spec is a TOML file: one run, a study of methods and seeds, or a sweep. Unknown keys and values
out of range are refused in one line that says what is allowed. This page is made from the models
that check them (`python -m tests.site.spec_page > docs/reference/spec.md`).

`--set KEY=VALUE` replaces a value from the command line, with dots between the names of tables:
`--set budget.epochs=3`, `--set "seeds=[0,1]"`, `--set methods.0.window=10`. The value is read as
TOML or, if it is not valid TOML, as a string. A key without a default must be given; if the default
is "none", the key may be left out.

`[optimizer]` of a run, and every `[[methods]]` of a study, hold `method` and
[its options](options.md) or [those of an installed optimizer](optimizers.md). `[workload]` holds
`name` and [the options of the problem](#options-of-the-workloads).
"""
_TABLES = {
    "WorkloadSpec": "table `[workload]`",
    "Budget": "table [`[budget]`](#budget)",
    "Target": "table [`[budget.target]`](#budget-target)",
    "Pipelining": "table [`[pipeline]`](#pipeline)",
    "Execution": "table [`[execution]`](#execution)",
    "Resources": "table [`[resources]`](#resources)",
    "Random": "table [`[random]`](#random)",
    "Range": "table [of a range](#ranges)",
    "StudyMethod": "tables [`[[methods]]`](#methods-of-a-study)",
    "SweepMethod": "tables [`[[methods]]`](#methods-of-a-sweep)",
    "MethodOptions": "table `[optimizer]`",
    "OptimizerOptions": "table `[optimizer]`",
}
SECTIONS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("A run", RunSpec),
    ("A study", Study),
    ("Methods of a study", StudyMethod),
    ("Budget", Budget),
    ("Budget: target", Target),
    ("Pipeline", Pipelining),
    ("Execution", Execution),
    ("A sweep", SweepFile),
    ("Methods of a sweep", SweepMethod),
    ("Resources", Resources),
    ("Random", Random),
    ("Ranges", Range),
    ("A search space", SpaceFile),
    ("Profile of this machine", LocalCluster),
    ("Profile of a Slurm cluster", SlurmCluster),
)
_BESIDE = {
    "Methods of a study": "Besides these, the table holds `method` and its options.",
    "Methods of a sweep": "Besides these, the table holds the fixed options of the method.",
    "Random": "Besides these, the table holds a range for each setting that is drawn.",
    "A search space": "The file of `napts tune --space`: one of `[grid]` and `[random]`.",
    "Profile of this machine": "A file for `--cluster`, as in `slurm/clusters`.",
    "Profile of a Slurm cluster": "A file for `--cluster`, as in `slurm/clusters`.",
    "A sweep": "A study whose settings are varied, for `napts sweep` and `napts tune`.",
}
_HIDDEN = {StudyMethod: {"optimizer"}, SweepMethod: {"options"}, Random: {"ranges"}}
_HEAD = "| key | type and bounds | default | meaning |\n|---|---|---|---|\n"


def page() -> str:
    """Return the page."""
    parts = [_INTRODUCTION]
    for title, model in SECTIONS:
        beside = f"{_BESIDE[title]}\n\n" if title in _BESIDE else ""
        parts.append(f"## {title}\n\n{beside}{table(model)}")
    problems = "[The problems](problems.md#the-problems-that-ship)."
    parts.append(f"## Options of the workloads\n\n{problems}\n")
    parts += [f"### {', '.join(names)}\n\n{table(model)}" for model, names in workloads()]
    return "\n".join(parts)


def keys(model: type[BaseModel]) -> list[str]:
    """Return the keys of a table that the page has."""
    return [name for name in model.model_fields if name not in _HIDDEN.get(model, ())]


def workloads() -> list[tuple[type[BaseModel], list[str]]]:
    """Return the models of the options of the package's problems, with those that have them."""
    having: dict[str, tuple[type[BaseModel], list[str]]] = {}
    for name in problem_names():
        if problem_class(name).__module__.startswith("napts."):
            model = options_model(name)
            having.setdefault(table(model), (model, []))[1].append(name)
    return list(having.values())


def table(model: type[BaseModel]) -> str:
    """Return the table of a model's keys."""
    schema = model.model_json_schema()
    said = meanings(model)
    rows = []
    for name in keys(model):
        field = schema["properties"][name]
        default = _default(model.model_fields[name])
        needed = model.model_fields[name].is_required()
        cells = (f"`{name}`", _type(field), "" if needed else _value(default), said[name])
        rows.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n")
    return _HEAD + "".join(rows)


def _default(field: FieldInfo) -> Any:
    make: Any = field.default_factory
    return make() if make is not None else field.default


def meanings(model: type[BaseModel]) -> Mapping[str, str]:
    """Return what the docstrings of a model and of those it extends say of its attributes."""
    found: dict[str, str] = defaultdict(str)
    for cls in reversed(model.__mro__):
        found.update(_attributes(inspect.cleandoc(vars(cls).get("__doc__") or "")))
    return found


def _attributes(text: str) -> Iterator[tuple[str, str]]:
    _, _, section = text.partition("Attributes:\n")
    for name, meaning in re.findall(r"^    (\w+): (.*(?:\n        .*)*)", section, re.MULTILINE):
        yield name, _markdown(" ".join(meaning.split()))


def _markdown(text: str) -> str:
    text = re.sub(r":\w+:`~?(.*?)`", r"`\1`", text).replace("``", "`")
    text = re.sub(r"[,;]? see `napts[\w.]+`", "", text).replace(", see `RunSpec`", ", as in a run")
    return re.sub(r"(?<!\. )\bNone\b", "none", text)


def _type(field: Mapping[str, Any]) -> str:
    if "$ref" in field:
        return _TABLES[field["$ref"].rpartition("/")[2]]
    if "allOf" in field:
        return _type(field["allOf"][0])
    if "anyOf" in field:
        return " or ".join(_type(each) for each in field["anyOf"] if each.get("type") != "null")
    if "enum" in field or "const" in field:
        values = field.get("enum") or [field["const"]]
        # Literal types with the same values are one object, in the order of whichever came first.
        return ", ".join(map(_value, sorted(values, key=str)))
    return {"array": _array, "object": _object}.get(field.get("type", ""), _plain)(field)


def _array(field: Mapping[str, Any]) -> str:
    items = field.get("items", {})
    if not items and "prefixItems" in field:
        return "list of " + " and ".join(map(_type, field["prefixItems"]))
    return _type(items) if "$ref" in items else f"list of {_plural(_type(items))}"


def _object(field: Mapping[str, Any]) -> str:
    values = field.get("additionalProperties")
    if isinstance(values, Mapping) and values:
        return f"table of {_plural(_type(values))}"
    return "table"


def _plain(field: Mapping[str, Any]) -> str:
    kind = field.get("type", "value")
    bounds = [
        text.format(_number(field[name]))
        for name, text in (
            ("minimum", "at least {}"),
            ("exclusiveMinimum", "above {}"),
            ("maximum", "at most {}"),
            ("exclusiveMaximum", "below {}"),
            ("maxLength", "at most {} characters"),
        )
        if name in field
    ]
    return ", ".join([kind, *bounds])


def _plural(kind: str) -> str:
    return re.sub(r"^(integer|number|string|value|table|list)", r"\1s", kind)


def _number(value: float) -> str:
    for power in (31, 32, 53, 63):
        if value == 2**power:
            return f"2^{power}"
    return f"{value:,.0f}" if abs(value) >= 1000 and value == int(value) else f"{value:g}"


def _value(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, BaseModel):
        return "its defaults"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, str):
        return f'`"{value}"`'
    if isinstance(value, Mapping):
        return "`{}`"
    if isinstance(value, Iterable):
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


if __name__ == "__main__":
    print(page(), end="")
