"""Writes the reference page and the table of absent options from the options' definitions.

``python -m napts.experiment.methods.reference`` writes both, in a checkout of the project.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from napts.experiment.methods import built_in
from napts.experiment.methods.method import Method
from napts.experiment.methods.registry import method_named, method_names
from napts.optim.option import UNSET, ByNorm, Definition
from napts.optim.signature import Definitions, shown

PAGE = Path("docs", "reference", "options.md")
TABLE = Path("napts", "records", "absent_options.py")

_WRITTEN = re.compile(r"(?<=options\.\n).*?(?=    # End of what is written)", re.DOTALL)
_INTRODUCTION = """# Options of the methods

This page is written by `python -m napts.experiment.methods.reference` from the definitions in
`napts/optim/options.py`, `napts/optim/sums/options.py`, `napts/optim/quasi_newton/options.py`,
`napts/optim/tracking/options.py`, `napts/optim/methods/` and
`napts/experiment/methods/built_in.py`. An option is an argument of the constructor, as in
`napts.NAPTS(stages, window=10)`, and a key of `[optimizer]` in a spec. If the two have different
defaults, the page gives both.
"""
_BESIDE = """## In specs only

These options define how the subdomains are made (in Python, arguments of `napts.partition_layers`,
`napts.deal_parameters` or `napts.split_layers`) and the shallower networks (arguments of
`napts.residual_hierarchy`). `preset` names a set of options; see `napts.PRESETS`. `scheduler` names
a learning-rate scheduler.
"""
_HEAD = ("option", "allowed", "default", "meaning")


def page() -> str:
    """Return the reference page of all options, as Markdown."""
    ours, others = _shipped()
    parts = [_INTRODUCTION]
    for names, definitions in _shared({n: m.options.definitions for n, m in ours.items()}).items():
        parts += [f"## {', '.join(names)}\n", _rows(definitions)]
    parts.append("## What single methods add\n")
    parts += [
        f"### {name}\n\n{_notes(method)}" for name, method in ours.items() if _amended(method)
    ]
    parts.append(_BESIDE)
    for names, definitions in _shared({n: m.options.beside for n, m in ours.items()}).items():
        parts += [f"### {', '.join(names)}\n", _rows(definitions)]
    for name, method in others.items():
        parts += [f"## {name}\n", _rows(method.options.definitions.values())]
    return "\n".join(parts)


def table(text: str) -> str:
    """Return a module's text with the table of absent options rewritten.

    Args:
        text: The text of ``napts/records/absent_options.py``.
    """
    return _WRITTEN.sub("".join(_absent_lines()), text)


def write(root: Path) -> None:
    """Write the page and the table.

    Args:
        root: The checkout.
    """
    (root / PAGE).write_text(page(), encoding="utf-8")
    module = root / TABLE
    module.write_text(table(module.read_text(encoding="utf-8")), encoding="utf-8")


def _shipped() -> tuple[dict[str, Method], dict[str, Method]]:
    """Return the package's methods: those of the trust-region family, and the others."""
    shipped = {name: method_named(name) for name in method_names()}
    shipped = {n: m for n, m in shipped.items() if m.registered_by == built_in.__name__}
    ours = {n: m for n, m in shipped.items() if hasattr(m.optimizer, "defined")}
    return ours, {n: m for n, m in shipped.items() if n not in ours}


def _absent_lines() -> Iterable[str]:
    having: dict[str, tuple[Any, list[str]]] = {}
    for name, method in _shipped()[0].items():
        known = {**method.options.definitions, **method.options.beside}
        for option, definition in known.items():
            if definition.option.before is not UNSET:
                having.setdefault(option, (definition.option.before, []))[1].append(name)
    for option, (value, names) in having.items():
        shown_names = ", ".join(map(shown, names)) + ("," if len(names) == 1 else "")
        yield f"    {shown(option)}: ({shown(value)}, ({shown_names})),\n"


def _shared(by_method: Mapping[str, Definitions]) -> dict[tuple[str, ...], list[Definition]]:
    """Return options by the methods that have them, as they are defined."""
    having: dict[tuple[str, str], tuple[Definition, list[str]]] = {}
    for method, definitions in by_method.items():
        for name, amended in definitions.items():
            plain = getattr(method_named(method).optimizer, "defined", {}).get(name, amended)
            having.setdefault((name, plain.option.meaning), (plain, []))[1].append(method)
    found: dict[tuple[str, ...], list[Definition]] = defaultdict(list)
    for definition, names in having.values():
        found[tuple(names)].append(definition)
    return dict(sorted(found.items(), key=_widest_first))


def _widest_first(item: tuple[tuple[str, ...], Any]) -> int:
    return -len(item[0])


def _amended(method: Method) -> list[Any]:
    return list(getattr(method.optimizer, "amended", ()))


def _notes(method: Method) -> str:
    lines = []
    for amendment in _amended(method):
        default = "" if amendment.default is UNSET else f"Default `{shown(amendment.default)}`. "
        lines.append(f"- `{amendment.name}`: {default}{_markdown(amendment.note)}")
    return "\n".join(lines) + "\n"


def _rows(definitions: Iterable[Definition]) -> str:
    rows = [_HEAD, ("---",) * len(_HEAD), *map(_row, definitions)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _row(definition: Definition) -> tuple[str, ...]:
    option = definition.option
    default = str(option.default) if isinstance(option.default, ByNorm) else shown(option.default)
    text = f"`{default}`"
    if option.in_specs is not UNSET:
        text += f", in specs `{shown(option.in_specs)}`"
    return f"`{definition.name}`", definition.domain, text, _markdown(option.meaning)


def _markdown(text: str) -> str:
    """Return text from a docstring as Markdown."""
    text = re.sub(r":\w+:`(.*?)`", r"`\1`", text).replace("``", "`")
    return text.replace("|", "\\|")


if __name__ == "__main__":
    write(Path.cwd())
