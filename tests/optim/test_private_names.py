"""Private names of torch: all are listed, and one that is missing is told in a line."""

import inspect
import re
import warnings
from pathlib import Path
from typing import Any

import pytest
from torch.nn.parallel import DistributedDataParallel

import napts
from napts.optim import private_names

HOME = Path(napts.__file__).parent
# A private attribute of torch or of one of its modules, imported or looked up.
LOOKED_UP = re.compile(r"\btorch(?:\.[a-zA-Z_]+)*\._[a-zA-Z]\w*(?:\.\w+)*")
IMPORTED = re.compile(r"^\s*from (torch[\w.]*) import (.*\b_[a-zA-Z].*)$", re.MULTILINE)
# Attributes of torch's objects, and torch's own words for what an optimizer of ours defines.
ATTRIBUTES = re.compile(
    r"\b(?:module|child|wrapper|tensor|t|p|g|parameter|of|inner|DistributedDataParallel)"
    r"\.(_[a-z]\w*)"
)
OWN = {"_params", "_numel_cache"}  # of LBFGS's copies, looked for before they are set


def _sources() -> dict[str, str]:
    files = {path.name: path for path in HOME.rglob("*.py") if path.name != "private_names.py"}
    texts = {name: path.read_text(encoding="utf-8") for name, path in files.items()}
    return {name: re.sub(r"#.*", "", text) for name, text in texts.items()}


def test_every_private_name_in_use_is_listed() -> None:
    known, last = set(private_names.NAMES), {n.split(".")[-1] for n in private_names.NAMES}
    found: dict[str, str] = {}
    for file, text in _sources().items():
        found |= dict.fromkeys(LOOKED_UP.findall(text), file)
        for module, names in IMPORTED.findall(text):
            private = [n.split(" as ")[0].strip() for n in names.split(",")]
            found |= {f"{module}.{n}": file for n in private if n.startswith("_")}
    assert len(found) > 10
    assert {name: file for name, file in found.items() if name not in known} == {}
    attributes = {
        name: file
        for folder in ("optim", "decomposition", "parallel")
        for file in (HOME / folder).glob("*.py")
        for name in ATTRIBUTES.findall(file.read_text(encoding="utf-8"))
    }
    assert {n: str(f) for n, f in attributes.items() if n not in last | OWN} == {}


@pytest.mark.parametrize("name", private_names.NAMES)
def test_one_that_torch_lacks_is_told(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    private_names.check((name,))
    holder, _, last = name.rpartition(".")
    owner: Any = private_names._resolved(holder)
    if name == "torch.Tensor._version":
        monkeypatch.setattr(private_names, "_resolved", lambda _: object())  # written in C
    elif last in vars(owner):
        monkeypatch.delattr(owner, last)
        if last in getattr(owner, "__annotations__", {}):
            monkeypatch.delitem(owner.__annotations__, last)
    else:
        monkeypatch.delitem(owner.__annotations__, last)
    with pytest.raises(ImportError, match=f"has no {re.escape(name)}, which napts uses"):
        private_names.check((name,))


def test_a_holder_that_torch_lacks_is_told() -> None:
    for name in ("torch.nowhere._x", "torch.optim.nowhere._x", "torch.Tensor.nowhere._x"):
        with pytest.raises(ImportError, match=f"has no {re.escape(name)}"):
            private_names.check((name,))


def test_what_only_instances_have_is_there() -> None:
    """Switches of a data-parallel wrapper: they are set by its constructor."""
    source = inspect.getsource(DistributedDataParallel)
    for name in ("_static_graph_delay_allreduce_enqueued", "require_backward_grad_sync"):
        assert f"self.{name}" in source
    assert hasattr(DistributedDataParallel, "will_sync_module_buffers")


SAID = (
    ("ast.Num is deprecated", DeprecationWarning, "torch._inductor.runtime.jit"),
    ("ast.Num is deprecated", DeprecationWarning, "triton.runtime.jit"),
    ("x will change", FutureWarning, "torch.fx.node"),
    (
        "This process (pid=1) is multi-threaded, use of fork() may lead to deadlocks",
        DeprecationWarning,
        "multiprocessing.popen_fork",
    ),
)


@pytest.mark.parametrize(("text", "kind", "module"), SAID)
def test_only_what_torch_says_of_itself_is_let_pass(
    text: str, kind: type[Warning], module: str
) -> None:
    warnings.warn_explicit(text, kind, "a.py", 1, module=module)
    for ours in ("napts.optim.moments", "tests.optim.test_cuda", "torchless"):
        with pytest.raises(kind):
            warnings.warn_explicit(text, kind, "a.py", 1, module=ours)
    with pytest.raises(UserWarning):
        warnings.warn_explicit("a wrong result", UserWarning, "a.py", 1, module=module)
