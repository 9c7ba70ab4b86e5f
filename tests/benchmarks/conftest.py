"""Repositories of this tree for tests of the benchmarks."""

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=tester", "-c", "user.email=tester@example.org")
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def commit(folder: Path, message: str) -> str:
    """Commit everything; return the revision."""
    git(folder, "add", "--all")
    git(folder, "commit", "--allow-empty", "--message", message)
    return git(folder, "rev-parse", "HEAD").strip()


def repository(folder: Path) -> str:
    """Make a repository of this tree as it is, committed or not; return its revision."""
    for top in ("napts", "benchmarks"):
        shutil.copytree(ROOT / top, folder / top, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("asv.conf.json", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / file, folder / file)
    (folder / ".gitignore").write_text(".asv/\n__pycache__/\n")
    git(folder, "init", "--initial-branch=main")
    return commit(folder, "as it is")
