"""The wheel is complete: the README's first study runs from an empty folder."""

import json
import subprocess
import tarfile
import zipfile

from tests.helpers.installed import ROOT, clean_environment


def test_the_wheel_holds_the_package_and_the_studies_and_nothing_else(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {str(p.relative_to(ROOT)) for p in (ROOT / "napts").rglob("*.py")}
    studies = {f"napts/{p.relative_to(ROOT)}" for p in (ROOT / "studies").rglob("*.toml")}
    rest = {name for name in names if ".dist-info/" not in name}
    assert rest == modules | studies | {"napts/py.typed"}


def test_a_study_of_the_readme_runs_without_the_repository(programs, tmp_path):
    ask = "import napts, sys; print(napts.__file__)"
    found = _run([programs / "python", "-c", ask], tmp_path)
    assert str(programs.parent) in found.stdout
    command = [programs / "napts", "run", "studies/digits.toml", "--no-track", "--json"]
    small = ["budget.epochs=1", "seeds=[0]", "workload.train_samples=128"]
    done = _run([*command, *(f"--set={value}" for value in small)], tmp_path)
    assert {run["state"] for run in json.loads(done.stdout)} == {"done"}


def _run(command, folder):
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def test_the_source_distribution_builds_the_same_wheel(tmp_path):
    import sys

    build = [sys.executable, "-m", "build", "--no-isolation", "--sdist", "-o", tmp_path, ROOT]
    _run(build, tmp_path)
    archive = next(tmp_path.glob("napts-*.tar.gz"))
    with tarfile.open(archive) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    wanted = {"studies/digits.toml", "tests/conftest.py", "slurm/local_cluster.sh", "Makefile"}
    assert wanted | {"constraints.txt", "docs/results/speed.md", "benchmarks/gate.py"} <= names
