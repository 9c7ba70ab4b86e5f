"""The claims about APTS in weights and in data on made records whose answers are known."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from napts.analysis import Section, load_collection
from napts.papers.claims import Judgement, Verdict, judge, judge_section
from tests.papers.conftest import write

EPOCHS = 20


def weights(subdomains: int, order: int = 1, *, forced: bool = False) -> dict[str, Any]:
    return {"subdomains": subdomains, "order": order, "forced_decrease": forced}


def course(accuracy: Any, loss: Callable[[int], float] | float = 1.5) -> dict[str, Any]:
    return {"val_accuracy": accuracy, "train_loss": loss}


class Records:
    """Made runs of one experiment."""

    def __init__(self, root: Path, workload: str, batch_size: int) -> None:
        self.root, self.workload, self.batch_size = root, workload, batch_size

    def add(self, method: str, label: str, by_seed: list[dict[str, Any]], **options: Any) -> None:
        for seed, numbers in enumerate(by_seed):
            write(
                self.root,
                method,
                seed,
                numbers,
                label=label,
                options=options,
                workload=self.workload,
                epochs=EPOCHS,
                batch_size=self.batch_size,
            )

    def judged(self, name: str) -> Judgement:
        section: Section = load_collection(self.root).sections[0]
        (found,) = (j for j in judge_section(section) if j.claim.name == name)
        return found


@pytest.fixture
def mnist(tmp_path: Path) -> Records:
    return Records(tmp_path, "mnist-fcnn", 55_000)


@pytest.fixture
def cifar(tmp_path: Path) -> Records:
    return Records(tmp_path, "cifar10-lenet", 2500)


def verdicts(judgement: Judgement) -> list[Verdict]:
    return [finding.verdict for finding in judgement.findings]


def alike(*numbers: Any) -> list[dict[str, Any]]:
    """Three seeds that differ by a hundredth of a point."""
    accuracy, *others = numbers
    if callable(accuracy):
        return [
            course(lambda epoch, seed=seed: accuracy(epoch) + 1e-4 * seed, *others)
            for seed in range(3)
        ]
    return [course(accuracy + 1e-4 * seed, *others) for seed in range(3)]


def test_the_epoch_from_which_order_2_stays_ahead(mnist: Records) -> None:
    def falls(start: float, by: float) -> Callable[[int], float]:
        return lambda epoch: start - by * epoch

    mnist.add("TR", "TR(1)", alike(0.8, falls(2.0, 0.01)), order=1)
    mnist.add("TR", "TR(2)", alike(0.8, falls(2.095, 0.02)), order=2)
    finding = mnist.judged("W2").findings[-1]
    assert finding.estimate is not None
    assert (finding.estimate.value, finding.estimate.low) == (10.0, 10.0)
    assert finding.verdict is Verdict.REFUTED  # declared for 50 to 90


def test_a_seed_that_never_gets_ahead_leaves_no_epoch(mnist: Records) -> None:
    mnist.add("TR", "TR(1)", alike(0.8, 1.0), order=1)
    behind = [course(0.8, 0.5), course(0.8, 0.5), course(0.8, 2.0)]
    mnist.add("TR", "TR(2)", behind, order=2)
    finding = mnist.judged("W2").findings[-1]
    assert finding.estimate is not None
    assert math.isinf(finding.estimate.value)
    assert finding.estimate.low == 1.0
    assert finding.verdict is Verdict.UNDECIDED


@pytest.mark.parametrize(
    ("state", "first", "second", "expected"),
    [
        ("diverged", False, True, (math.inf, 4, 0, 1)),
        ("failed", True, True, (math.inf, 4, 0, 1)),
        ("diverged", True, False, (1.0, 4, 0, 1)),
        ("interrupted", False, True, (1.0, 3, 1, 0)),
    ],
)
def test_a_run_that_ended_badly_never_stays_ahead(
    mnist: Records, state: str, first: bool, second: bool, expected: tuple[float, int, int, int]
) -> None:
    mnist.add("TR", "TR(1)", alike(0.8, 1.0), order=1)
    mnist.add("TR", "TR(2)", alike(0.8, 0.5), order=2)
    options = {"workload": "mnist-fcnn", "batch_size": 55_000, "epochs": EPOCHS}
    for order, loss, aborted in ((2, 0.5, second), (1, 1.0, first)):
        end = {"state": state, "epochs_done": EPOCHS - 5} if aborted else {}
        write(
            *(mnist.root, "TR", 9, course(0.8, loss)),
            **{"label": f"TR({order})", "options": {"order": order}, **options, **end},
        )
    estimate = mnist.judged("W2").findings[-1].estimate
    assert estimate is not None
    assert (estimate.value, estimate.n, estimate.missing, estimate.bad) == expected


def add_orders(mnist: Records, first: Any, second: Any) -> None:
    for count in (2, 4, 6):
        mnist.add("APTSW", f"{count} 1", alike(0.9, first), **weights(count))
        mnist.add("APTSW", f"{count} 2", alike(0.9, second), **weights(count, 2))


def jumps(height: float) -> Callable[[int], float]:
    return lambda epoch: 1.5 + height * (epoch % 2)


def test_smoothness_is_what_the_loss_rises(mnist: Records) -> None:
    add_orders(mnist, jumps(0.004), jumps(0.002))
    judgement = mnist.judged("W3")
    rises, told = judgement.findings[0].estimate, judgement.findings[3]
    assert rises is not None
    assert rises.value == pytest.approx(-0.002 * (EPOCHS // 2 - 1))
    assert told.region is None
    assert told.estimate is not None
    assert told.estimate.value == pytest.approx(0.25)
    assert judgement.verdict is Verdict.CONFIRMED


def test_one_epoch_has_no_increments(tmp_path: Path) -> None:
    for order in (1, 2):
        for count in (2, 60):
            for seed in range(3):
                write(
                    *(tmp_path, "APTSW", seed, course(0.5)),
                    **{"label": f"{count} {order}", "options": weights(count, order)},
                    **{"workload": "cifar10-resnet18", "epochs": 1},
                )
    (found,) = (j for j in judge(load_collection(tmp_path)) if j.claim.name == "W8")
    assert found.findings[1].verdict is Verdict.NOT_TESTED


def test_a_loss_that_falls_slowly_is_no_smoother(mnist: Records) -> None:
    add_orders(mnist, lambda e: 1.5 + math.exp(-e / 2), lambda e: 1.5 + math.exp(-e / 30))
    judgement = mnist.judged("W3")
    assert [f.estimate.value for f in judgement.findings[:3] if f.estimate] == [0.0] * 3
    assert judgement.verdict is Verdict.REFUTED  # they do not end alike


def test_three_seeds_seldom_settle_which_scatters_more(mnist: Records) -> None:
    for count, width in ((2, 0.04), (4, 0.03), (6, 0.01)):
        ends = [course(0.9 + 0.01 * count + width * at) for at in (-1, 0, 1)]
        mnist.add("APTSW", str(count), ends, **weights(count))
    finding = mnist.judged("W5").findings[2]
    assert finding.estimate is not None
    assert finding.estimate.value == pytest.approx(0.25)
    # The 97.5 % quantile of F(2, 2) is 39.
    assert finding.estimate.low == pytest.approx(0.25 / math.sqrt(39), rel=1e-3)
    assert finding.estimate.high == pytest.approx(0.25 * math.sqrt(39), rel=1e-3)
    assert finding.verdict is Verdict.UNDECIDED


def test_without_forced_decrease_it_is_slightly_better(mnist: Records) -> None:
    mnist.add("APTSW", "off", alike(0.95, 1.49), **weights(6))
    mnist.add("APTSW", "on", alike(0.94, 1.50), **weights(6, forced=True))
    assert mnist.judged("W6").verdict is Verdict.CONFIRMED


def test_claims_on_cifar_take_the_most_subdomains_there_are(cifar: Records) -> None:
    def most(epoch: int) -> float:
        return 0.55 if epoch > 5 else 0.3

    for count, accuracy in ((2, 0.40), (15, 0.45), (62, most)):
        cifar.add("APTSW", str(count), alike(accuracy, 1.2), **weights(count))
    cifar.add("APTSW", "62 fdl", alike(0.50, 1.0), **weights(62, forced=True))
    cifar.add("APTSW", "62 2", alike(0.45, 1.3), **weights(62, 2))
    cifar.add("Adam", "Adam", [course(lambda epoch: 0.54 if epoch > 3 else 0.3, 1.1)] * 3)
    assert cifar.judged("W7").verdict is Verdict.CONFIRMED
    assert verdicts(cifar.judged("W8"))[0] is Verdict.CONFIRMED
    assert verdicts(cifar.judged("W9")) == [Verdict.CONFIRMED] * 3


def test_never_getting_there_is_not_a_few_more_epochs(cifar: Records) -> None:
    for count in (2, 60):
        cifar.add("APTSW", str(count), alike(0.5), **weights(count))
    cifar.add("Adam", "Adam", alike(0.6))
    assert verdicts(cifar.judged("W9"))[2] is Verdict.REFUTED


def test_one_number_of_subdomains_is_no_most(cifar: Records) -> None:
    cifar.add("APTSW", "one", alike(0.5), **weights(4))
    judgement = cifar.judged("W9")
    assert judgement.verdict is Verdict.NOT_TESTED
    assert "runs of APTSW with several values of subdomains" in judgement.needs


def test_runs_that_diverged_do_not_hide_how_much_seeds_differ(mnist: Records) -> None:
    for count in (2, 4, 6):
        mnist.add("APTSW", str(count), alike(0.9), **weights(count))
    ended = {"state": "diverged", "epochs_done": 3, "epochs": EPOCHS, "batch_size": 55_000}
    write(
        *(mnist.root, "APTSW", 9, course(0.9)),
        **{"label": "6", "options": weights(6), "workload": "mnist-fcnn", **ended},
    )
    finding = mnist.judged("W5").findings[2]
    assert finding.verdict is Verdict.NOT_TESTED
    assert finding.needs == "runs of APTS(6, 1) and APTS(2, 1) of which none ended badly"


def test_a_loss_that_ends_in_infinity_is_no_smoother(mnist: Records) -> None:
    add_orders(mnist, jumps(0.004), jumps(0.002))
    options = {"workload": "mnist-fcnn", "batch_size": 55_000, "epochs": EPOCHS}
    for order in (1, 2):
        end = {"state": "diverged", "epochs_done": 3} if order == 2 else {}
        write(
            *(mnist.root, "APTSW", 9, course(0.9, 1.5)),
            **{"label": f"2 {order}", "options": weights(2, order), **options, **end},
        )
    judgement = mnist.judged("W3")
    rises, rougher = judgement.findings[0], judgement.findings[3]
    assert rises.verdict is Verdict.UNDECIDED
    assert rises.estimate is not None
    assert (rises.estimate.value, rises.estimate.bad) == (math.inf, 1)
    assert rougher.estimate is not None
    assert rougher.estimate.value == math.inf


def test_methods_that_never_differ_scatter_alike(mnist: Records) -> None:
    for count in (2, 4, 6):
        mnist.add("APTSW", str(count), [course(0.9)] * 3, **weights(count))
    finding = mnist.judged("W5").findings[2]
    assert finding.estimate is not None
    assert finding.estimate.value == 1.0


def test_claims_are_asked_of_the_data_they_speak_of(mnist: Records) -> None:
    mnist.add("Adam", "Adam", alike(0.9))
    section = load_collection(mnist.root).sections[0]
    asked = {judgement.claim.name for judgement in judge_section(section)}
    assert "W1" in asked
    assert "W7" not in asked
    (never,) = (j for j in judge(load_collection(mnist.root)) if j.claim.name == "W7")
    assert (never.section, never.needs) == (None, "a comparison on cifar10")


@pytest.mark.parametrize(
    ("two", "six", "expected"),
    [(0.95, 0.90, Verdict.CONFIRMED), (0.80, 0.75, Verdict.REFUTED), (0.95, 0.96, Verdict.REFUTED)],
)
def test_in_data(mnist: Records, two: float, six: float, expected: Verdict) -> None:
    mnist.add("Adam", "Adam", alike(0.96))
    mnist.add("SGD", "SGD", alike(0.96))
    mnist.add("APTSD", "2", alike(two), shards=2, order=1)
    mnist.add("APTSD", "6", alike(six), shards=6, order=1)
    assert mnist.judged("D1").verdict is expected
