import json
import subprocess
from pathlib import Path

import torch

from napts.records.environment import capture_environment, git_state


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def test_environment_is_plain_data() -> None:
    environment = capture_environment(torch.device("cpu"), "0123")
    assert json.loads(json.dumps(environment, allow_nan=False)) == environment
    assert environment["torch"] == torch.__version__
    assert environment["data_digest"] == "0123"
    assert environment["threads"] == torch.get_num_threads()
    assert environment["gpu"] is None


def test_git_state_follows_the_package(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "code.py").write_text("a = 1\n")
    git(tmp_path, "init", "--quiet")
    assert git_state(package)["git_revision"] is None
    assert git_state(package)["git_dirty"] is True
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    clean = git_state(package)
    revision = git(tmp_path, "rev-parse", "HEAD").strip()
    assert clean == {"git_revision": revision, "git_dirty": False, "git_diff_digest": None}
    (tmp_path / "results.csv").write_text("outside the package")
    assert git_state(package) == clean
    (package / "code.py").write_text("a = 2\n")
    changed = git_state(package)
    assert changed["git_dirty"] is True
    (package / "code.py").write_text("a = 3\n")
    assert git_state(package)["git_diff_digest"] != changed["git_diff_digest"]


def test_checkout_of_somebody_else_is_not_ours(tmp_path: Path) -> None:
    package = tmp_path / "environment" / "site-packages" / "package"
    package.mkdir(parents=True)
    git(tmp_path, "init", "--quiet")
    assert set(git_state(package).values()) == {None}


def test_no_checkout_at_all(tmp_path: Path) -> None:
    assert set(git_state(tmp_path).values()) == {None}
