"""The code that jobs run: a copy of the package and the user's code, made on submission."""

import io
import json
import os
import shutil
import subprocess
import tarfile
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import napts
from napts._version import __version__
from napts.experiment.plugins.loading import Plugin
from napts.experiment.spec.reading import SpecError
from napts.launch.own_copies import OwnCode
from napts.records.environment import SNAPSHOT_STATE, git_state


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A copy of the package.

    Attributes:
        path: Folder to put first in Python's search path.
        name: Its revision, or the version of an installed package; with the user's own code, also a
            digest of that.
        imports: Files and modules of the copy that a job imports before it reads its specs.
    """

    path: Path
    name: str
    imports: tuple[str, ...] = ()

    def variables(self) -> dict[str, str]:
        """Return the variables that make Python import the copy, wherever a job begins.

        Without the second one, the package of a checkout in which a job begins would take
        precedence.
        """
        return {"PYTHONPATH": str(self.path), "PYTHONSAFEPATH": "1"}


def take_snapshot(
    folder: Path,
    *,
    allow_dirty: bool = False,
    package: Path | None = None,
    plugins: Sequence[Plugin] = (),
) -> Snapshot:
    """Copy the package and own code as they are now; the same code is copied only once.

    Args:
        folder: Where copies are kept.
        allow_dirty: Copy uncommitted changes of the package too, instead of refusing. Own code is
            copied as it was imported, whether it is committed anywhere or not.
        package: Folder of the package; by default the running one.
        plugins: What the jobs should import.

    Returns:
        The copy. A file in it has what ``environment.json`` of its runs will say.

    Raises:
        SpecError: The package has uncommitted changes and they are not allowed, or a file of own
            code has changed since it was imported.
    """
    package = package or Path(napts.__file__).resolve().parent
    state = git_state(package)
    if state["git_dirty"] and not allow_dirty:
        raise SpecError(
            [f"{package}: found uncommitted changes, allowed: a clean revision, or --allow-dirty"]
        )
    own = OwnCode(plugins)
    name = "-".join(part for part in (_name(state), own.digest) if part)
    target = folder / name
    if not target.exists():
        staged = folder / f".{name}.{uuid.uuid4().hex}"
        staged.mkdir(parents=True)
        try:
            own.copy(staged)
        except SpecError:
            shutil.rmtree(staged)
            raise
        _copy(package, staged, state)
        (staged / SNAPSHOT_STATE).write_text(json.dumps(state), encoding="utf-8")
        _settle(staged, target)
    own.link_data(target)
    return Snapshot(target, name, own.imports(target))


def _name(state: dict[str, Any]) -> str:
    if state["git_revision"] is None:
        return f"version-{__version__}"
    short = state["git_revision"][:12]
    return f"{short}-dirty-{state['git_diff_digest']}" if state["git_dirty"] else short


def _copy(package: Path, staged: Path, state: dict[str, Any]) -> None:
    if state["git_revision"] is None or state["git_dirty"]:
        ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
        shutil.copytree(package, staged / package.name, ignore=ignore)
        return
    command = ["git", "-C", str(package.parent), "archive", state["git_revision"], package.name]
    archive = subprocess.run(command, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        # The archive is git's own. Python before 3.11.4 knows no filters, later ones want one.
        filters: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        tar.extractall(staged, **filters)


def _settle(staged: Path, target: Path) -> None:
    """Give the copy its name, unless another process was faster."""
    try:
        os.rename(staged, target)
    except OSError:
        shutil.rmtree(staged)
        if not target.exists():
            raise
