"""Forks a process per run, so that many can be killed without importing torch each time.

Reads lines from the standard input: ``start SPEC ROOT MODE DIE_AT``, ``wait PID``, ``poll PID``,
separated by tabs. ``DIE_AT`` is ``CALL:N``: the child kills itself with SIGKILL just before its
N-th call of ``os.CALL``.
"""

import os
import sys
from pathlib import Path

import torch
import torch._dynamo  # the first optimizer imports it; here once for all children

from napts.experiment import RunSpec, plugins, run, runner
from napts.experiment.checkpoint import remove_checkpoints
from napts.records.layout import CHECKPOINT
from tests.helpers.disturbed_calls import die_at


def keep_last_checkpoint(directory: Path) -> None:
    """Leave the final parameters behind, which a run that is done has no further use for."""
    if (directory / CHECKPOINT).exists() and not (directory / "last.pt").exists():
        os.link(directory / CHECKPOINT, directory / "last.pt")
    remove_checkpoints(directory)


def child(spec: str, root: str, mode: str, point: str) -> None:
    sys.stdout = sys.stderr
    torch.set_num_threads(1)
    runner.remove_checkpoints = keep_last_checkpoint
    if point:
        die_at(point)
    run(RunSpec.model_validate_json(Path(spec).read_text()), root, mode=mode)


def exit_status(status: int) -> int:
    return os.waitstatus_to_exitcode(status)


def main() -> None:
    plugins.load([str(Path(__file__).with_name("augmented.py"))])
    for line in iter(sys.stdin.readline, ""):
        command, *arguments = line.rstrip("\n").split("\t")
        if command == "start":
            pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    child(*arguments)
                    code = 0
                finally:
                    sys.stderr.flush()
                    os._exit(code)
            answer = str(pid)
        elif command == "wait":
            answer = str(exit_status(os.waitpid(int(arguments[0]), 0)[1]))
        else:
            pid, status = os.waitpid(int(arguments[0]), os.WNOHANG)
            answer = "running" if pid == 0 else str(exit_status(status))
        print(answer, flush=True)


if __name__ == "__main__":
    main()
