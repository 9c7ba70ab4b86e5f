"""The core alone trains; what needs an extra says which, in one line."""

import ast
import subprocess
import sys
import tomllib

import pytest

from napts.extras import EXTRAS, MissingExtra, need, said
from tests.helpers.installed import ROOT

CORE = {"torch", "numpy", "pydantic", "pydantic_core", "napts"}
DISTRIBUTIONS = {"sklearn": "scikit-learn", "tomli_w": "tomli-w", "PIL": "pillow"}
WITH_MLFLOW = {"sqlalchemy", "requests"}

BLOCK = """
from importlib.machinery import PathFinder
find_spec = PathFinder.find_spec
def without(name, path=None, target=None):
    return None if name.partition(".")[0] in {absent} else find_spec(name, path, target)
PathFinder.find_spec = without
"""
ALL = {module for modules in EXTRAS.values() for module in modules}


def without(modules, code):
    program = BLOCK.format(absent=sorted(modules)) + code
    return subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_the_core_trains_without_any_extra():
    done = without(
        ALL,
        """
import torch, napts
model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
optimizer = napts.NAPTS(napts.partition_layers(model, n_subdomains=2))
x = torch.randn(8, 3)
first = optimizer.step(lambda: model(x).square().mean())
for _ in range(5):
    last = optimizer.step(lambda: model(x).square().mean())
assert last < first
import napts.experiment
""",
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("code", "absent", "extra"),
    [
        ("import napts.analysis", "pandas", "harness"),
        ("import napts.plotting", "seaborn", "harness"),
        ("import napts.launch.slurm", "submitit", "slurm"),
        ("from napts.problems.digits import read_digits; read_digits()", "sklearn", "harness"),
        ("from napts.tracking.store import Store; Store('sqlite:///x.db')", "mlflow", "mlflow"),
    ],
)
def test_what_is_missing_is_named_with_its_extra(code, absent, extra):
    done = without({absent}, code)
    line = done.stderr.strip().splitlines()[-1]
    assert line.endswith(f"{absent} is not installed: pip install 'napts[{extra}]'")


@pytest.mark.parametrize("arguments", [["--help"], ["report", "all", "records"]])
def test_the_command_line_says_it_in_one_line(arguments):
    code = (
        f"import sys; sys.argv = ['napts', *{arguments}]; from napts.cli import program; program()"
    )
    done = without({"click", "rich"}, code)
    assert done.returncode == 2
    assert done.stderr == "napts: click, rich are not installed: pip install 'napts[harness]'\n"


def test_training_goes_on_without_mlflow(tmp_path):
    code = f"""
import sys
sys.argv = ["napts", "run", "studies/tuned/digits-cnn-Adam.toml", "--records", {str(tmp_path)!r},
            "--set=budget.epochs=1", "--set=workload.train_samples=64"]
from napts.cli import program; program()
"""
    done = without({"mlflow"}, code)
    assert done.returncode == 0, done.stderr
    assert "nothing is logged to MLflow: mlflow is not installed" in done.stderr


def test_need_counts_what_is_missing():
    need("torch", "click")
    with pytest.raises(MissingExtra, match=r"nowhere is not installed: pip install nowhere"):
        need("torch", "nowhere")
    assert said(["pandas", "submitit"]).endswith("pip install 'napts[harness,slurm]'")


def test_every_foreign_import_belongs_to_the_core_or_to_an_extra():
    found = set()
    for path in (ROOT / "napts").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            found |= {name.partition(".")[0] for name in names}
    foreign = found - set(sys.stdlib_module_names) - {"__future__"}
    assert foreign - CORE - ALL - WITH_MLFLOW == set()


def test_the_extras_are_those_of_pyproject():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for extra, modules in EXTRAS.items():
        listed = " ".join(project["optional-dependencies"][extra])
        for module in modules:
            assert DISTRIBUTIONS.get(module, module) in listed
