"""Which Pythons and torches are tested: one list, in step with what the package declares."""

import re
import tomllib

import yaml

from tests.helpers.installed import ROOT

WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
MATRIX = WORKFLOW["jobs"]["versions"]["strategy"]["matrix"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_declared_pythons_are_tested():
    declared = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    assert MATRIX["python"] == declared
    assert PROJECT["requires-python"] == f">={declared[0]}"


def test_the_lowest_torch_and_the_pinned_one_are_tested():
    (lowest,) = (d.removeprefix("torch>=") for d in PROJECT["dependencies"] if "torch" in d)
    pinned = re.search(r"^torch==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert pinned
    assert MATRIX["torch"][0].startswith(f"{lowest}.")
    assert pinned[1] in MATRIX["torch"]


def test_the_newest_is_no_older_than_the_pinned_one():
    versions = [tuple(map(int, torch.split("."))) for torch in MATRIX["torch"]]
    assert versions == sorted(versions)
