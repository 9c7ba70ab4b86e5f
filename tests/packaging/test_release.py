"""A release is consistent before it is built, and its README can be read anywhere."""

import importlib.util
import re
import tomllib

import pytest
import yaml
from packaging.version import Version

from napts._version import __version__
from tests.helpers.installed import ROOT
from tests.packaging.lowest import lowest

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def readme():
    spec = importlib.util.spec_from_file_location("napts_setup", ROOT / "setup.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.readme


def test_version_changelog_and_citation_agree():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    released = re.findall(r"^## \[(\d\S*)\] - (\d{4}-\d\d-\d\d)$", changelog, re.MULTILINE)
    assert released[0][0] == __version__
    assert [Version(v) for v, _ in released] == sorted((Version(v) for v, _ in released))[::-1]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (citation["version"], citation["date-released"]) == released[0]
    assert citation["license"] == PROJECT["license"]


def test_every_released_version_says_whether_its_results_compare():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    sections = re.split(r"^## ", changelog, flags=re.MULTILINE)[1:]
    released = [section for section in sections if not section.startswith("[Unreleased]")]
    assert all("### Results comparability" in section for section in released)


def test_links_of_the_readme_lead_to_the_tag(readme):
    text = "[a](docs/a.md#b) ![i](docs/i.png) [u](https://x.org/a) [h](#here) `x[0](y)`"
    assert readme(text, None, "1.0") == text
    assert readme(text.split(" `")[0], "https://host.org/napts/", "1.0") == (
        "[a](https://host.org/napts/blob/v1.0/docs/a.md#b) "
        "![i](https://host.org/napts/raw/v1.0/docs/i.png) [u](https://x.org/a) [h](#here)"
    )


def test_what_the_readme_links_to_exists():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    paths = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", text)
    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_lower_bounds_are_pins_below_those_of_the_lock():
    bounds = lowest()
    assert {"torch", "numpy", "click", "mlflow", "schedulefree", "pytest"} <= bounds.keys()
    pins = dict(
        line.split("==") for line in (ROOT / "constraints.txt").read_text().split() if "==" in line
    )
    pins = {name.lower().replace("_", "-"): pin for name, pin in pins.items()}
    above = [n for n, b in bounds.items() if Version(b) > Version(pins[n.replace("_", "-")])]
    assert above == []
