"""Our methods for finite sums beside the solvers one would take, to the same gap.

    python -m benchmarks.solvers [--problem a9a-logistic] [--gap 1e-6] [--repeats 5]

All start at 0 and minimise the same l2-regularised logistic regression without an intercept. Times
are CPU times of one thread from there to the first iterate whose loss is so close to the minimum,
median of the repeats with other seeds; what is evaluated to see that is not counted, nor is reading
the data. Of the solvers of scikit-learn, which do not tell their iterates, it is the fastest of the
runs with tolerances 10^0, 10^-0.5, ... that ends there, and its time includes what they check and
copy first.

A gradient stands for one of all samples with its value: two products with the rows. Hessian-vector
products cost as much. Of a stochastic step, and of a pass of saga, the share of the samples counts;
methods that hold one sample's gradient against an older one need two of them. Values are those
without a gradient.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any
from unittest import mock

import numpy as np
import torch

LIMIT = 300
"""Gradients and Hessian-vector products, or iterations of scikit-learn, after which is given up."""

OURS: dict[str, tuple[str, dict[str, Any]]] = {
    "TRNewton": ("TRNewton", {}),
    "ASTROM 10 %": ("ASTROM", {"share": 0.1}),
    "SSN 10 %": ("SSN", {"share": 0.1}),
    "MLVR 10 %": ("MLVR", {"shares": (0.1,)}),
    "MLVR 1 %, 10 %": ("MLVR", {"shares": (0.01, 0.1)}),
    "SVRG, lr 1": ("SVRG", {"lr": 1.0}),
    "SARAH, lr 1": ("SARAH", {"lr": 1.0}),
}


@dataclass(slots=True)
class Work:
    """What a run has cost.

    Attributes:
        seconds: CPU time.
        gradients: Gradients, with their values.
        products: Hessian-vector products.
        values: Values without gradients.
        gap: Loss above the minimum in the end.
    """

    seconds: float = 0.0
    gradients: float = 0.0
    products: float = 0.0
    values: float = 0.0
    gap: float = field(default=float("inf"))


class Task:
    """A problem, its data as torch and as SciPy have them, and where its minimum is."""

    def __init__(self, name: str) -> None:
        from napts.problems import get_problem

        self.problem: Any = get_problem(name)
        self.inputs, self.labels = self.problem.load(dtype=torch.float64).train.all()
        self.minimum: float = self.problem.minimum
        self.penalty: float = self.problem.penalty

    def start(self) -> tuple[Any, Any]:
        """Return a fresh parameter and the sum over it."""
        model = self.problem.build_model(0).double()
        return next(model.parameters()), self.problem.sum(model, (self.inputs, self.labels))

    @property
    def rows(self) -> Any:
        """The inputs as scikit-learn takes them."""
        if self.inputs.layout is torch.strided:
            return self.inputs.numpy()
        from scipy.sparse import csr_matrix

        parts = (self.inputs.values(), self.inputs.col_indices(), self.inputs.crow_indices())
        return csr_matrix(tuple(part.numpy() for part in parts), shape=tuple(self.inputs.shape))


def ours(task: Task, method: str, options: dict[str, Any], gap: float, seed: int) -> Work:
    """Run one of our methods."""
    import napts

    weight, total = task.start()
    torch.manual_seed(seed)
    optimizer = getattr(napts, method)([weight], **options)
    work = Work()
    while work.gradients + work.products < LIMIT:
        start = time.process_time()
        optimizer.step(total)
        work.seconds += time.process_time() - start
        record = optimizer.last_step
        work.gradients += record.backwards
        work.products += record.hessian_products
        work.values += record.forwards - record.backwards
        work.gap = total.value([weight.detach().reshape(-1)]) - task.minimum
        if not work.gap > gap:
            break
    return work


def trust_ncg(task: Task, gap: float) -> Work:
    """Run SciPy's trust-region Newton method with conjugate gradients, on our evaluations."""
    from scipy.optimize import minimize

    weight, total = task.start()
    work, kept = Work(), {}

    def at(x: np.ndarray) -> list[torch.Tensor]:
        return [torch.from_numpy(x)]

    def both(x: np.ndarray) -> tuple[float, np.ndarray]:
        work.gradients += 1
        value, (gradient,) = total.value_and_gradient(at(x))
        return value, gradient.numpy()

    def product(x: np.ndarray, v: np.ndarray) -> np.ndarray:
        work.products += 1
        if "x" not in kept or not np.array_equal(kept["x"], x):
            kept["x"], kept["hessian"] = x.copy(), total.hessian(at(x))
        return kept["hessian"](at(v))[0].numpy()

    def stop(intermediate_result: Any) -> None:
        work.gap = intermediate_result.fun - task.minimum
        if work.gap <= gap:
            raise StopIteration

    start = time.process_time()
    minimize(
        both,
        np.zeros(weight.numel()),
        jac=True,
        hessp=product,
        method="trust-ncg",
        callback=stop,
        options={"gtol": 1e-12},
    )
    work.seconds = time.process_time() - start
    return work


def scikit_learn(task: Task, solver: str, gap: float, seed: int) -> Work:
    """Run a solver of scikit-learn with the tolerance that takes it there fastest."""
    exponent = 0
    while True:
        tolerance = 10.0 ** (-exponent / 2)
        with _counted() as work:
            found, work.gap = _fit(task, solver, tolerance, seed)
        if work.gap <= gap or found.n_iter_[0] >= LIMIT or exponent == 20:
            break
        exponent += 1
    start = time.process_time()
    _fit(task, solver, tolerance, seed)
    work.seconds = time.process_time() - start
    if solver == "saga":
        work.gradients = float(found.n_iter_[0])  # a table of gradients: one a sample
    return work


def _fit(task: Task, solver: str, tolerance: float, seed: int) -> tuple[Any, float]:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(
        C=1.0 / (task.penalty * len(task.labels)),
        solver=solver,
        tol=tolerance,
        max_iter=LIMIT,
        fit_intercept=False,
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(task.rows, task.labels.numpy())
    _, total = task.start()
    theta = torch.from_numpy(np.asarray(model.coef_, dtype=np.float64).reshape(-1))
    return model, total.value([theta]) - task.minimum


@contextmanager
def _counted() -> Iterator[Work]:
    """Count what scikit-learn's smooth solvers evaluate."""
    from sklearn.linear_model._linear_loss import LinearModelLoss

    work = Work()

    def counting(name: str, count: Callable[[], None]) -> Any:
        inner = getattr(LinearModelLoss, name)

        def counted(self: Any, *arguments: Any, **keywords: Any) -> Any:
            count()
            return inner(self, *arguments, **keywords)

        return mock.patch.object(LinearModelLoss, name, counted)

    def value() -> None:
        work.values += 1

    def gradient() -> None:
        work.gradients += 1

    products = LinearModelLoss.gradient_hessian_product

    def with_products(self: Any, *arguments: Any, **keywords: Any) -> Any:
        work.gradients += 1
        found, product = products(self, *arguments, **keywords)

        def counted(vector: np.ndarray) -> np.ndarray:
            work.products += 1
            return product(vector)

        return found, counted

    with (
        counting("loss", value),
        counting("gradient", gradient),
        counting("loss_gradient", gradient),
        mock.patch.object(LinearModelLoss, "gradient_hessian_product", with_products),
    ):
        yield work


def main(name: str, gap: float, repeats: int, only: Sequence[str] = ()) -> None:
    """Print the table."""
    # Limits hold for libraries that are loaded, which scikit-learn and SciPy bring with them.
    for library in ("scipy.optimize", "sklearn.linear_model"):
        import_module(library)
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(1)
    task = Task(name)
    print(f"{name}, gap {gap:g}, one thread, torch {torch.__version__}, n = {repeats}\n")
    print("| method | CPU ms | gradients | Hessian products | values |")
    print("|---|---:|---:|---:|---:|")
    solvers: dict[str, Callable[[int], Work]] = {
        title: lambda seed, m=method, o=options: ours(task, m, o, gap, seed)
        for title, (method, options) in OURS.items()
    }
    for solver in ("lbfgs", "newton-cg", "saga"):
        solvers[f"scikit-learn {solver}"] = lambda seed, s=solver: scikit_learn(task, s, gap, seed)
    solvers["SciPy trust-ncg"] = lambda _: trust_ncg(task, gap)
    with threadpool_limits(1):
        for title, run in solvers.items():
            if only and title not in only:
                continue
            print(_row(title, [run(seed) for seed in range(repeats)], gap), flush=True)


def _row(title: str, works: list[Work], gap: float) -> str:
    """Return a line of the table: medians, and the span of times."""
    reached = [work for work in works if work.gap <= gap]
    if not reached:
        closest = min(work.gap for work in works)
        return f"| {title} | not reached: {closest:.1e} | {works[0].gradients:.0f} | | |"
    times = sorted(1e3 * work.seconds for work in reached)
    spans = f"{statistics.median(times):.0f} [{times[0]:.0f}, {times[-1]:.0f}]"
    if len(reached) < len(works):
        spans += f" ({len(reached)} of {len(works)})"
    counts = [
        statistics.median(getattr(work, kind) for work in reached)
        for kind in ("gradients", "products", "values")
    ]
    return f"| {title} | {spans} | {' | '.join(f'{count:.1f}' for count in counts)} |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problem", default="a9a-logistic")
    parser.add_argument("--gap", type=float, default=1e-6)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--methods", nargs="*", default=(), help="some of them, by their titles")
    given = parser.parse_args()
    main(given.problem, given.gap, given.repeats, given.methods)
