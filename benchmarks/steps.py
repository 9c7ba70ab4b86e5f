"""asv: what a step costs - time, phases and memory."""

import statistics
from functools import cache

from benchmarks.phases import PHASES, phase_times
from benchmarks.problems import METHODS, SCHWARZ, optimizer, problem

_ALL = (*METHODS, "light", "TTR", "STTR", "Adam")


class _Step:
    """A step from the same state every time, with the same decisions."""

    param_names = ("workload", "batch", "method")
    number = 1  # a second step in the same sample would be another step
    warmup_time = 0.0

    def setup(self, workload: str, batch: int, method: str) -> None:
        on = self._on = problem(workload, batch, learnable=True)
        self._optimizer = optimizer(method, on)
        for _ in range(2):
            self._optimizer.step(on.closure)


class StepTime(_Step):
    """The third step on a batch."""

    params = (("mnist-fcnn", "cifar10-mini"), (200, 1000), _ALL)
    repeat = (3, 20, 1.0)
    timeout = 300

    def time_step(self, workload: str, batch: int, method: str) -> None:
        self._optimizer.step(self._on.closure)


class LargeStepTime(_Step):
    """The same on the paper's network, where a step takes seconds."""

    params = (("cifar10-cnn",), (200, 1000), _ALL)
    repeat = 2
    timeout = 1200

    def time_step(self, workload: str, batch: int, method: str) -> None:
        self._optimizer.step(self._on.closure)


class StepMemory(_Step):
    """Largest memory of a process that takes three steps, the libraries in it included."""

    params = (("cifar10-mini", "cifar10-cnn"), (1000,), _ALL)
    timeout = 1200

    def setup(self, workload: str, batch: int, method: str) -> None:
        """Build nothing before it is measured."""

    def peakmem_steps(self, workload: str, batch: int, method: str) -> None:
        on = problem(workload, batch, learnable=True)
        under_test = optimizer(method, on)
        for _ in range(3):
            under_test.step(on.closure)


class StepPhases:
    """Milliseconds of each phase of a step at batch 1000."""

    params = (("mnist-fcnn", "cifar10-mini"), SCHWARZ, PHASES)
    param_names = ("workload", "method", "phase")
    timeout = 600
    unit = "ms"

    def track_phase(self, workload: str, method: str, phase: str) -> float:
        return _phases(workload, method)[phase]


@cache
def _phases(workload: str, method: str, steps: int = 15) -> dict[str, float]:
    on = problem(workload, 1000)
    under_test = optimizer(method, on)
    under_test.step(on.closure)
    rows: list[dict[str, float]] = []
    for _ in range(steps):
        with phase_times() as spent:
            under_test.step(on.closure)
        rows.append(spent)
    return {phase: 1e3 * statistics.median(row[phase] for row in rows) for phase in PHASES}
