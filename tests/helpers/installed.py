"""The package as people install it: a wheel in an environment of its own, not the checkout."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def build_wheel(folder: Path) -> Path:
    """Build the wheel of a clean copy of what is in the repository, and return its path."""
    source = folder / "source"
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard", "-z"],
        capture_output=True,
        check=True,
    ).stdout
    for name in listed.decode().split("\0"):
        if name.startswith(("napts/", "studies/")) or (name and "/" not in name):
            target = source / name
            if (ROOT / name).is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes((ROOT / name).read_bytes())
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "-w", str(folder), str(source)], check=True, capture_output=True)
    return next(folder.glob("napts-*.whl"))


def install(wheel: Path, folder: Path) -> Path:
    """Install a wheel into a new environment that finds the dependencies in this one.

    Returns:
        The environment's folder of programs.
    """
    venv.EnvBuilder(with_pip=False, symlinks=True).create(folder)
    here = Path(sysconfig.get_path("purelib"))
    site = next(folder.glob("lib/python*/site-packages"))
    command = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install"]
    subprocess.run(
        [*command, "-q", "--no-deps", "--no-index", str(wheel)],
        check=True,
        capture_output=True,
        cwd=folder,  # pip would take the checkout for an installed package
        env=clean_environment(),
    )
    # After the installed package: a path file names the dependencies, not this checkout.
    (site / "dependencies.pth").write_text(f"{here}\n", encoding="utf-8")
    return folder / "bin"


def clean_environment() -> dict[str, str]:
    """Return the environment variables without those that lead back to the checkout."""
    return {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
