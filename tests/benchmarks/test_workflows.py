"""The workflow files: well-formed, and what they call exists."""

import re
from pathlib import Path

import pytest
import yaml

from tests.benchmarks.conftest import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_what_a_workflow_calls_exists(file: Path) -> None:
    jobs = yaml.safe_load(file.read_text())["jobs"]
    commands = "\n".join(step.get("run", "") for job in jobs.values() for step in job["steps"])
    targets = re.findall(r"^make (\S+)", commands, re.MULTILINE)
    makefile = (ROOT / "Makefile").read_text()
    assert targets + re.findall(r"\.ci/run", commands)
    assert all(f"\n{target}:" in makefile for target in targets)
    for module in set(re.findall(r"python -m (\S+)", commands)) - {"pip"}:
        assert (ROOT / (module.replace(".", "/") + ".py")).exists()
    for path in re.findall(r"cp (\S+)", commands):
        assert (ROOT / path).exists()


def test_pull_requests_are_tested_and_gated() -> None:
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    assert "pull_request:" in text
    assert ".ci/run" in text
    assert "benchmarks.gate" in text
    assert "|| true" not in text


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_actions_are_pinned_to_a_commit(file: Path) -> None:
    used = re.findall(r"uses: (.+)", file.read_text())
    pinned = r"[\w./-]+@[0-9a-f]{40} # v\d+(\.\d+)*"
    assert [action for action in used if not re.fullmatch(pinned, action)] == []


def test_timing_the_commits_does_not_hold_up_the_pages() -> None:
    """The nightly job takes hours; what main has by then is published meanwhile, and after it."""
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "pages.yml").read_text())
    times, pages = workflow["jobs"]["times"], workflow["jobs"]["pages"]
    assert "concurrency" not in workflow
    assert times["concurrency"] != pages["concurrency"]
    assert times["if"] == "github.event_name != 'push'"
    assert pages["if"] == "${{ !cancelled() }}"
    assert pages["timeout-minutes"] <= 60
    assert "pages" not in workflow["permissions"]
