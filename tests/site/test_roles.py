"""Names in the roles of docstrings exist: :class:`napts.NAPTS`, :meth:`step`, :func:`...`."""

import ast
import builtins
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.helpers.pages import ROOT

_ROLE = re.compile(r":(class|func|meth|attr|mod|exc|data):`~?([\w.]+)`")
_ELSEWHERE = ("torch", "numpy", "pydantic")
MODULES = sorted((ROOT / "napts").rglob("*.py"))


def roles(path: Path) -> Iterator[tuple[str, str]]:
    """The kind and the name of every role in a module's strings."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from _ROLE.findall(node.value)


def resolves(name: str) -> bool:
    """Whether there is something of that name; nothing is imported, which would take long."""
    path, parts = ROOT / "napts", name.split(".")[1:]
    while parts and (path / parts[0]).is_dir():
        path, parts = path / parts[0], parts[1:]
    if parts and (path / f"{parts[0]}.py").exists():
        return all(part in members(path / f"{parts[0]}.py") for part in parts[1:])
    here = members(path / "__init__.py")
    return not parts or (
        parts[0] in here
        and all(any(part in members(each) for each in path.rglob("*.py")) for part in parts[1:])
    )


@cache
def members(path: Path) -> set[str]:
    """What a short name may mean in a module: what it defines, annotates or imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.AnnAssign | ast.Assign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {t.attr if isinstance(t, ast.Attribute) else _id(t) for t in targets}
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.name for alias in node.names}
    return names


def _id(target: ast.expr) -> str:
    return target.id if isinstance(target, ast.Name) else ""


def test_names_in_roles_exist() -> None:
    seen = 0
    for path in MODULES:
        for kind, name in roles(path):
            seen += 1
            where = f"{path.relative_to(ROOT)}: {kind} {name}"
            if name.startswith("napts."):
                assert resolves(name), where
            elif not name.startswith(_ELSEWHERE):
                first = name.split(".")[0]
                near = (path, *path.parent.glob("*.py"))
                known = hasattr(builtins, first) or any(first in members(each) for each in near)
                assert known, where
    assert seen > 200
