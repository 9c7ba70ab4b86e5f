"""The reference leaves nothing out: options, commands, keys, variables, codes, problems, names."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from pydantic import BaseModel

import napts
from napts.cli import shared
from napts.cli.commands import main
from napts.experiment.methods import built_in, method_names
from napts.experiment.methods.registry import method_named
from napts.launch import job
from napts.optim import presets
from tests.helpers.pages import DOCS, ROOT, text_of
from tests.site import spec_page

API = "\n".join(path.read_text() for path in (DOCS / "reference" / "api").glob("*.md"))


def test_the_keys_of_specs_are_those_of_the_models() -> None:
    command = "python -m tests.site.spec_page > docs/reference/spec.md"
    assert text_of("reference/spec.md") == spec_page.page(), command


def test_every_key_says_what_it_means() -> None:
    for _, model in (*spec_page.SECTIONS, *((names, m) for m, names in spec_page.workloads())):
        said = spec_page.meanings(model)
        for key in spec_page.keys(model):
            assert said[key], f"{model.__name__}.{key}: nothing in its docstring"


def test_every_table_of_a_spec_has_a_section() -> None:
    """Whatever models the run's, the study's and the sweep's hold."""
    sections = {model for _, model in spec_page.SECTIONS}
    left_out = {"WorkloadSpec", "MethodOptions"}  # they hold what other pages list
    for model in sections:
        for field in model.model_fields.values():
            for inner in _models_in(field.annotation):
                assert inner in sections or inner.__name__ in left_out, inner


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _models_in(inner)


def test_every_option_of_every_method_is_on_its_page() -> None:
    page = text_of("reference/options.md")
    for name in method_names():
        method = method_named(name)
        if method.registered_by == built_in.__name__:
            assert re.search(rf"^#.*\b{name}\b", page, re.MULTILINE), name
            for option in (*method.options.definitions, *method.options.beside):
                assert f"| `{option}` |" in page or f"- `{option}`:" in page, f"{name}.{option}"


def test_every_public_name_is_on_a_page() -> None:
    for name in set(napts.__all__) - {"__version__"}:
        assert re.search(rf":: napts\.{name}$", API, re.MULTILINE), name


def test_every_preset_is_told() -> None:
    text = "\n".join(path.read_text() for path in DOCS.rglob("*.md"))
    for presets_of in presets.PRESETS.values():
        for name in presets_of:
            assert f"`{name}`" in text or f'"{name}"' in text, name


def test_the_command_line_is_that_of_the_program() -> None:
    """Every command is in the group that sphinx-click is given, and says what it does."""
    assert ".. click:: napts.cli.commands:main\n   :prog: napts\n   :nested: full" in text_of(
        "reference/command_line.md"
    )
    for name, command in _commands("napts", main):
        assert command.help, name
        for option in command.params:
            undocumented = isinstance(option, click.Option) and not option.help
            assert not undocumented or option.name == "port", f"{name}: {option.name}"


def _commands(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        for inner, each in command.commands.items():
            yield from _commands(f"{name} {inner}", each)


# --- environment variables ------------------------------------------------------------------------

_SHAPE = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*")
_OTHER = {"FILE_OR_MODULE", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT", "STAGE_OUT"}
"""A placeholder of the command line, and states of jobs."""
_SCRIPT = re.compile(r"\b(NAPTS_[A-Z_]+)\b")


def variables() -> set[str]:
    """Names of all environment variables that the package reads or sets."""
    found = set(_SCRIPT.findall((ROOT / "slurm" / "local_cluster.sh").read_text()))
    for path in (ROOT / "napts").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if "environ" in text or "NAPTS_" in text or "ENVIRONMENT" in text:
            found |= set(_named(ast.parse(text)))
    return found


def _named(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
            if _SHAPE.fullmatch(text) and ("_" in text or text == "RANK") and text not in _OTHER:
                yield text


def test_every_environment_variable_is_on_its_page() -> None:
    page = text_of("reference/environment.md")
    found = variables()
    assert len(found) > 20
    assert [name for name in sorted(found) if f"`{name}`" not in page] == []


def test_variables_of_the_page_are_those_of_the_code() -> None:
    told = set(
        re.findall(r"`((?:NAPTS|MLFLOW|SLURM)_[A-Z_]+)`", text_of("reference/environment.md"))
    )
    assert told <= variables()


# --- exit codes -----------------------------------------------------------------------------------


def test_every_exit_code_is_on_its_page() -> None:
    rows = dict(
        re.findall(r"^\| (\d+) \| `(\w+)` \|", text_of("reference/exit_codes.md"), re.MULTILINE)
    )
    codes = {"FAILED", "BAD_INPUT", "BUSY", "INTERRUPTED"}
    in_code = {str(getattr(shared, name)): name for name in codes}
    assert rows == {**in_code, str(int(job._TERMINATED)): "TERMINATED"}


def test_nothing_exits_with_another_code() -> None:
    """Numbers that end a process stand in one place."""
    for path in (ROOT / "napts" / "cli").rglob("*.py"):
        numbers = re.findall(r"(?:Exit|fail)\([^)]*?\b([1-9]\d*)\)", path.read_text())
        assert not numbers, path


@pytest.mark.parametrize(
    "page", ["reference/records.md", "reference/zoo.md", "reference/options.md"]
)
def test_pages_that_are_written_say_by_what(page: str) -> None:
    assert "python -m " in text_of(page)[:1500]


def test_one_place_has_the_address() -> None:
    """That of the site is in pyproject.toml; no page repeats it."""
    assert 'get("Documentation"' in Path(DOCS / "conf.py").read_text()
