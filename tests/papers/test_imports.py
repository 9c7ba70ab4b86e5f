"""Nothing generic knows of particular papers; what they bring is found through the registries."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from napts.registry import BUILT_IN

ROOT = Path(__file__).parents[2]
ABOVE = ("papers", "cli", "claims")
"""What may import `napts.papers`: itself, the command line, and the former name of its claims."""

NOT_BELOW = {
    "records": {"optim", "experiment", "launch", "analysis", "plotting", "tracking"},
    "optim": {"decomposition", "problems", "parallel", "experiment", "records", "analysis"},
    "decomposition": {"problems", "parallel", "experiment", "records", "analysis"},
    "problems": {"parallel", "experiment", "records", "analysis"},
    "parallel": {"problems", "experiment", "records", "analysis"},
    "experiment": {"launch", "analysis", "plotting", "tracking", "cli"},
    "analysis": {"optim", "problems", "experiment", "launch", "plotting", "tracking", "cli"},
    "plotting": {"optim", "problems", "experiment", "launch", "tracking", "cli"},
    "launch": {"plotting", "tracking", "cli"},
    "papers": {"cli", "tracking"},
}
"""For each package those that it must not import."""


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted((ROOT / "napts").rglob("*.py")):
        first, *_ = path.relative_to(ROOT / "napts").parts
        yield first.removesuffix(".py"), path


def imported(path: Path) -> Iterator[str]:
    """Yield the modules that a file imports, wherever in it, and those it names in a string."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            words = node.value.split()
            if len(words) == 1 and words[0].startswith("napts."):
                yield words[0]


def packages(path: Path) -> set[str]:
    names = (name.split(".") for name in imported(path))
    return {parts[1] for parts in names if parts[0] == "napts" and len(parts) > 1}


def test_nothing_generic_imports_the_papers() -> None:
    those = {str(path.relative_to(ROOT)) for own, path in modules() if "papers" in packages(path)}
    allowed = {str(path.relative_to(ROOT)) for own, path in modules() if own in ABOVE}
    assert those - allowed == {"napts/registry.py"}, "the one place where they are named"


def test_the_layers_import_one_way() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports napts.{name}"
        for own, path in modules()
        for name in sorted(packages(path) & NOT_BELOW.get(own, set()))
    ]
    assert not wrong


def test_every_module_that_fills_a_registry_exists() -> None:
    for names in BUILT_IN.values():
        for name in names:
            assert (ROOT / name.replace(".", "/")).with_suffix(".py").exists(), name


@pytest.mark.parametrize("folder", ["analysis", "plotting", "launch", "tracking", "cli"])
def test_generic_modules_list_no_methods(folder: str) -> None:
    names = ("NTR", "APTS", "APTSA", "APTSW", "APTSD", "LBFGS")
    for path in (ROOT / "napts" / folder).glob("*.py"):
        assert not [name for name in names if f'"{name}"' in path.read_text()], path


@pytest.mark.parametrize(
    ("script", "not_loaded"),
    [
        ("import napts.optim", "napts.papers"),
        ("import napts; assert napts.preset('NAPTS', 'light')['local_steps'] == 1", "pandas"),
        ("from napts.launch.tuning_spaces import SPACES; assert 'Adam' in SPACES", "matplotlib"),
        ("import napts.analysis", "napts.papers"),
        ("from napts.analysis.looks import LOOKS; assert 'NAPTS' in LOOKS", "torch"),
    ],
)
def test_papers_are_loaded_when_they_are_looked_for(script: str, not_loaded: str) -> None:
    script = f"import sys; {script}; assert {not_loaded!r} not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)


def test_the_former_name_of_the_claims_warns() -> None:
    script = "import napts.claims; assert napts.claims.CLAIMS[0].name == 'N1'"
    ended = subprocess.run(
        [sys.executable, "-W", "always::DeprecationWarning:__main__", "-c", script],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert "napts.claims is now called napts.papers.claims" in ended.stderr
