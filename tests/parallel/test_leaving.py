"""Nothing of a process group is left when its block ends: its threads crash a Python that ends."""

import subprocess
import sys
from pathlib import Path

import pytest

THREADS = Path("/proc/self/task")

SCRIPT = """
import importlib
import sys
from pathlib import Path

import torch
import torch.distributed as dist

import napts


def threads():
    return sorted(each.read_text().strip() for each in Path("/proc/self/task").glob("*/comm"))


with napts.join_ranks(alone=True):
    importlib.import_module(sys.argv[1])
    dist.all_reduce(torch.ones(3))
    assert any("gloo" in name for name in threads()), threads()
found = [name for name in threads() if "gloo" in name]
assert not found, found
"""


@pytest.mark.skipif(not THREADS.exists(), reason="threads are listed in /proc on Linux alone")
@pytest.mark.parametrize(
    "first_imported_inside",
    ["napts.parallel.pipeline", "torch.distributed.nn", "torch.distributed.fsdp", "torch._dynamo"],
)
def test_no_thread_of_a_group_outlives_its_block(first_imported_inside: str):
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, first_imported_inside],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
