"""Training needs torch, NumPy and pydantic, and no other library of the project's."""

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys

REFUSED = {refused!r}

class Without:
    # Finds modules as usual, except those that are to be missing.

    def __init__(self, finder):
        self._finder = finder

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in REFUSED:
            return None
        return self._finder.find_spec(name, path, target)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
try:
    import pandas
except ModuleNotFoundError:
    pass
else:
    raise AssertionError("the modules are not hidden")
from napts.experiment import load_spec, run
spec = load_spec({spec!r})
outcome = run(spec, {root!r})
assert outcome.state == "done", outcome
assert not REFUSED & {{name.partition(".")[0] for name in sys.modules}}
"""

REFUSED = {
    "mlflow", "submitit", "seaborn", "matplotlib", "pandas", "sklearn", "scipy", "rich", "click",
    "torchvision", "psutil", "asv",
}  # fmt: skip

SPEC = """
experiment = "tests"
[workload]
name = "synthetic-blobs"
[optimizer]
method = "NAPTS"
[budget]
epochs = 1
"""


def test_training_imports_nothing_it_does_not_need(tmp_path: Path) -> None:
    spec = tmp_path / "spec.toml"
    spec.write_text(SPEC)
    script = SCRIPT.format(refused=REFUSED, spec=str(spec), root=str(tmp_path / "records"))
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True)


def test_napts_itself_imports_no_harness() -> None:
    script = (
        "import sys, napts\n"
        "heavy = {'pydantic', 'pandas', 'mlflow', 'click', 'rich', 'scipy', 'matplotlib'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
