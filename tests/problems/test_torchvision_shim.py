import os
import subprocess
import sys
from pathlib import Path

import pytest

# What the real package does at import: describe an operator that somebody must have declared.
NEEDS_OPERATORS = """
import torch
from torchvision import first_part

@torch.library.register_fake("torchvision::nms")
def meta_nms(dets, scores, iou_threshold):
    return dets

@torch.library.register_fake("torchvision::qnms")
def meta_qnms(dets, scores, iou_threshold):
    return dets
"""


def python(code: str, path: Path | None = None) -> str:
    env = dict(os.environ)
    if path is not None:
        env["PYTHONPATH"] = str(path)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def fake(tmp_path):
    """Return a function that writes a package torchvision and returns the folder to put first."""

    def write(init: str) -> Path:
        package = tmp_path / "torchvision"
        package.mkdir()
        (package / "__init__.py").write_text(init)
        (package / "first_part.py").write_text("")
        return tmp_path

    return write


LOAD = """
import torch
from napts.problems.torchvision_shim import load_torchvision, shim_active
def declared():
    return any(
        name.startswith("torchvision::") for name in torch._C._dispatch_get_all_op_names()
    )
"""


def test_where_the_plain_import_fails_the_shim_makes_it_work(fake):
    code = (
        LOAD
        + """
try:
    import torchvision
except RuntimeError as error:
    assert "torchvision::nms does not exist" in str(error)
else:
    raise SystemExit("the plain import should have failed")
module = load_torchvision()
import torchvision
assert torchvision is module and torchvision.first_part
assert load_torchvision() is module
print(shim_active(), declared())
"""
    )
    assert python(code, fake(NEEDS_OPERATORS)) == "True True"


def test_where_torchvision_imports_by_itself_nothing_is_declared(fake):
    code = LOAD + "load_torchvision(); print(shim_active(), declared())"
    assert python(code, fake("")) == "False False"


@pytest.mark.parametrize(
    ("init", "kind"),
    [("raise RuntimeError('something else')", "RuntimeError"), ("import missing_", "ImportError")],
)
def test_other_failures_are_not_hidden(fake, init, kind):
    code = (
        LOAD
        + f"""
try:
    load_torchvision()
except {kind}:
    print(shim_active(), declared())
"""
    )
    assert python(code, fake(init)) == "False False"


def test_the_installed_torchvision_loads_and_reads_data_sets():
    code = (
        LOAD
        + """
import sys
try:
    import torchvision
    plain = True
except RuntimeError:
    plain = False
module = load_torchvision()
assert module.datasets.MNIST and module.models.resnet18
print(plain != shim_active())
"""
    )
    assert python(code) == "True"


def test_importing_the_workloads_does_not_import_torchvision():
    code = (
        "import sys, napts.problems; print('torchvision' in sys.modules, 'sklearn' in sys.modules)"
    )
    assert python(code) == "False False"
