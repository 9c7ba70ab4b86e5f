"""Every block of code of the site is run by a test, or says why it cannot be."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import torch
from torch import nn

import napts
from napts.cli.commands import main
from tests.helpers.pages import CODE, ROOT, blocks, pages, text_of

PYTHON = (
    "explanation/families.md",
    "howto/ranks.md",
    "index.md",
    "results/below_cost.md",
    "results/finite_sums.md",
    "tutorials/training_loop.md",
)
"""Pages whose Python is run here, in order, with the names of `setting`."""

RUN_BY = {
    "howto/ci.md": ("python sh", "tests/site/test_guides.py"),
    "howto/faster_passes.md": ("toml sh", "tests/site/test_guides.py"),
    "howto/mlflow.md": ("sh", "tests/site/test_guides.py"),
    "howto/new_method.md": ("toml sh", "tests/site/test_guides.py"),
    "howto/ranks.md": ("toml sh", "tests/site/test_guides.py"),
    "howto/slurm.md": ("toml sh", "tests/site/test_guides.py"),
    "howto/tuning.md": ("toml sh", "tests/site/test_guides.py"),
    "reference/budgets.md": ("toml", "tests/experiment/test_budget_docs.py"),
    "reference/closures.md": ("python", "tests/optim/test_documentation.py"),
    "reference/optimizers.md": ("toml python", "tests/experiment/test_optimizer_docs.py"),
    "reference/problems.md": ("python toml sh", "tests/problems/test_documentation.py"),
    "results/multilevel.md": ("python", "tests/optim/test_documentation.py"),
    "results/pde.md": ("python toml sh", "tests/problems/test_pde.py"),
    "tutorials/first_pinn.md": ("toml sh", "tests/site/test_guides.py"),
    "tutorials/first_study.md": ("toml sh", "tests/site/test_guides.py"),
    "tutorials/own_problem.md": ("python toml sh", "tests/packaging/test_own_problem.py"),
}
"""The languages of a page whose blocks a test runs, and the test."""


def setting() -> dict[str, Any]:
    """The names that pages take for granted: a network, a loss, and a few batches."""
    torch.manual_seed(0)
    model = nn.Sequential(*[layer for _ in range(6) for layer in (nn.Linear(8, 8), nn.Tanh())])
    inputs, targets = torch.randn(32, 8), torch.randint(8, (32,))
    return {
        "napts": napts,
        "model": model,
        "stages": napts.partition_layers(model, n_subdomains=4),
        "criterion": nn.functional.cross_entropy,
        "inputs": inputs,
        "targets": targets,
        "loader": [(inputs, targets)] * 2,
    }


@pytest.mark.parametrize("page", PYTHON)
def test_the_python_of_a_page_runs(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = setting()
    found = blocks(page, "python")
    assert found
    with torch.random.fork_rng():
        for block in found:
            if block.reason is None:
                block.run(names)


def test_every_block_is_run_or_says_why_not() -> None:
    for page in pages():
        for block in blocks(page):
            languages, _ = RUN_BY.get(page, ("", ""))
            run = block.language in languages.split()
            run = run or (page in PYTHON and block.language == "python")
            assert run or block.reason is not None, f"{page}: {block.text}"


def test_blocks_are_of_languages_that_are_known() -> None:
    """So that none escapes the test above by its name."""
    for page in pages():
        opened = re.findall(r"^ *```+(\S*)", text_of(page), re.MULTILINE)[::2]
        for language in opened:
            known = language in (*CODE, "text") or re.fullmatch(r"\{[\w-]+\}", language)
            assert known, f"{page}: ```{language}"


@pytest.mark.parametrize("page", sorted(RUN_BY))
def test_the_test_that_runs_a_page_names_it(page: str) -> None:
    _, test = RUN_BY[page]
    text = (ROOT / test).read_text()
    text += (ROOT / "tests" / "helpers" / "walk_through.py").read_text()
    assert f'"{page}"' in text
    assert any(block.reason is None for block in blocks(page))


# --- what pages name ---------------------------------------------------------------------------


def named() -> Iterator[tuple[str, list[str]]]:
    """Every command that a page names, in a block or within a line, as its words."""
    for page in pages():
        lines = [line for block in blocks(page, "sh") for line in block.text.splitlines()]
        for block in blocks(page, "console"):
            lines += re.findall(r"^\$ (.*)", block.text, re.MULTILINE)
        prose = re.sub(r"^```.*?^```", "", text_of(page), flags=re.MULTILINE | re.DOTALL)
        lines += [" ".join(code.split()) for code in re.findall(r"(?<!`)`([^`]+)`(?!`)", prose)]
        for line in lines:
            try:
                words = shlex.split(line, comments=True)
            except ValueError:
                continue
            if words:
                yield page, words


def test_every_command_and_option_exists() -> None:
    seen = 0
    for page, words in named():
        if words[0] == "napts" and len(words) > 1:
            seen += 1
            assert not _unknown(words[1:]), f"{page}: {' '.join(words)}"
    assert seen > 60


def _unknown(words: list[str]) -> list[str]:
    command: click.Command = main
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.commands.get(words[0])
        if found is None:
            return words
        command, words = found, words[1:]
    known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
    given = [word.partition("=")[0] for word in words if word.startswith("--")]
    return [word for word in given if word not in {*known, "--help", "--version"}]


def test_every_target_module_and_file_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page, words in named():
        where = f"{page}: {' '.join(words)}"
        if words[0] == "make" and len(words) > 1:
            assert words[1] in targets, where
        if (
            words[:2] == ["python", "-m"]
            and len(words) > 2
            and words[2].startswith(("napts", "benchmarks", "tests"))
        ):
            path = ROOT / words[2].replace(".", "/")
            assert path.with_suffix(".py").exists() or path.is_dir(), where
        if words[0] == "python" and len(words) > 1 and words[1].endswith(".py"):
            assert (ROOT / words[1]).exists(), where


def test_every_path_of_the_project_exists() -> None:
    shown = r"`((?:napts|tests|benchmarks|studies|slurm|reports|docs)/[\w./-]+)`"
    for page in pages():
        for path in re.findall(shown, text_of(page)):
            assert (ROOT / path).exists(), f"{page}: {path}"
