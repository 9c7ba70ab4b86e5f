"""What a run ran on: code, libraries, processor, accelerator. Captured once per attempt."""

import contextlib
import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy
import torch

from napts._version import __version__

SNAPSHOT_STATE = "napts-revision.json"
"""File beside a copy of the package that says what :func:`git_state` said of the original."""

_GIT_TIMEOUT_S = 10.0


def capture_environment(
    device: torch.device, data_digest: str | None, packages: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return a description of code and machine as plain data.

    Args:
        device: Where the run computes.
        data_digest: Digest of the data set that the run trains on; None if it was not read.
        packages: Versions of the other installed packages that the run uses, by name.

    Returns:
        The contents of ``environment.json``. Anything that cannot be determined is None.
    """
    package = Path(__file__).resolve().parents[1]
    return {
        **git_state(package),
        "napts": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "platform": platform.platform(),
        "hostname": platform.node(),
        "cpu_model": _cpu_model(),
        "cpu_cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "load_average": list(os.getloadavg()),
        **_device_state(device),
        "data_digest": data_digest,
        "packages": dict(packages or {}),
    }


def git_state(package: Path) -> dict[str, Any]:
    """Return revision and uncommitted changes of the checkout that a package folder belongs to.

    Args:
        package: Folder of the imported package.

    Returns:
        ``git_revision``, ``git_dirty`` (changes within the package, including new files) and
        ``git_diff_digest`` (of those changes). All are None if the package is not in a checkout of
        its own, but for example in a ``site-packages`` folder. A copy made for a job returns those
        of the original.
    """
    with contextlib.suppress(OSError, ValueError):
        return json.loads((package.parent / SNAPSHOT_STATE).read_text(encoding="utf-8"))
    unknown = {"git_revision": None, "git_dirty": None, "git_diff_digest": None}
    top = _git(package, "rev-parse", "--show-toplevel")
    # An environment folder may lie inside some other project's checkout; that one is not ours.
    if top is None or Path(top.strip()).resolve() != package.parent:
        return unknown
    revision = _git(package, "rev-parse", "--verify", "HEAD")
    status = _git(package, "status", "--porcelain", "--untracked-files=all", "--", ".")
    if status is None:
        return unknown
    changes = (_git(package, "diff", "HEAD", "--", ".") or "") + status
    return {
        "git_revision": revision.strip() if revision else None,
        "git_dirty": bool(status.strip()),
        "git_diff_digest": hashlib.sha256(changes.encode()).hexdigest()[:16] if status else None,
    }


def _git(folder: Path, *arguments: str) -> str | None:
    # Without the optional lock, looking at the checkout never disturbs somebody's commit.
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    try:
        result = subprocess.run(command, capture_output=True, timeout=_GIT_TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.decode(errors="replace")


def _cpu_model() -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return platform.processor() or None
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or None)


def _device_state(device: torch.device) -> dict[str, Any]:
    """Return the accelerator and the switches that change its arithmetic or its speed."""
    cuda = device.type == "cuda"
    return {
        "device": device.type,
        "gpu": torch.cuda.get_device_name(device) if cuda else None,
        "gpu_id": _gpu_id(device) if cuda else None,
        "cuda": torch.version.cuda if cuda else None,
        "cudnn": torch.backends.cudnn.version() if cuda else None,
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "cudnn_deterministic": torch.backends.cudnn.deterministic,
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "tf32_matmul": torch.backends.cuda.matmul.allow_tf32,
        "tf32_cudnn": torch.backends.cudnn.allow_tf32,
    }


def _gpu_id(device: torch.device) -> str | None:
    """Return a digest of the GPU's identifier, which identifies runs on the same one."""
    identifier = getattr(torch.cuda.get_device_properties(device), "uuid", None)
    return identifier and hashlib.sha256(str(identifier).encode()).hexdigest()[:8]
