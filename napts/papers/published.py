"""What the authors of the earlier methods published in their repositories: averages over runs.

These are means over runs at the last epoch, as far as they are known. The papers do not print them,
and their settings may differ from those of the papers and from ours: they are shown beside our
numbers, and nothing is judged by them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from napts.analysis.collection import Section
from napts.analysis.columns import floats
from napts.analysis.labels import distinct_labels, grouped
from napts.analysis.summary import comparison
from napts.analysis.tables import Table, number, percent, spread
from napts.records import RunRecord
from napts.records.metric import ACCURACY

WEIGHTS = "APTS in weights (2023)"
DATA = "APTS in data (2023)"
_ALL_OF_MNIST = 60_000


@dataclass(frozen=True)
class Published:
    """A published average.

    Attributes:
        source: Whose repository it is.
        workload: Our name of the problem.
        batch: A batch's own samples.
        method: Our name of the method.
        options: Its options, as far as they are known.
        runs: Number of runs; None if unknown.
        epochs: Number of epochs.
        accuracy: Mean test accuracy in percent.
        span: Smallest and largest test accuracy, in percent.
        loss: Mean train loss.
    """

    source: str
    workload: str
    batch: int
    method: str
    options: Mapping[str, Any]
    runs: int | None
    epochs: int
    accuracy: float
    span: tuple[float, float] | None = None
    loss: float | None = None

    @property
    def whole(self) -> bool:
        """Whether a batch is the whole training set."""
        return self.batch == _ALL_OF_MNIST


def _weights(
    batch: int,
    subdomains: int,
    accuracy: float,
    loss: float,
    span: tuple[float, float] | None = None,
    *,
    workload: str = "mnist-fcnn",
    runs: int = 10,
    epochs: int = 100,
) -> Published:
    options = {"subdomains": subdomains, "order": 1, "forced_decrease": False}
    return Published(WEIGHTS, workload, batch, "APTSW", options, runs, epochs, accuracy, span, loss)


def _resnet(subdomains: int, accuracy: float, span: tuple[float, float], loss: float) -> Published:
    return _weights(
        2500, subdomains, accuracy, loss, span, workload="cifar10-resnet18", runs=3, epochs=25
    )


def _data(
    workload: str,
    batch: int,
    shards: int,
    accuracies: tuple[float, float],
    losses: tuple[float | None, float | None] = (None, None),
) -> list[Published]:
    """Return the averages of both orders."""
    return [
        Published(
            DATA,
            workload,
            batch,
            "APTSD",
            {"shards": shards, "order": order},
            runs=None,
            epochs=100,
            accuracy=accuracy,
            loss=loss,
        )
        for order, accuracy, loss in zip((1, 2), accuracies, losses, strict=True)
    ]


def _adam(
    workload: str,
    batch: int,
    accuracy: float,
    loss: float,
    span: tuple[float, float] | None = None,
    *,
    source: str = WEIGHTS,
    runs: int | None = 10,
) -> Published:
    return Published(source, workload, batch, "Adam", {}, runs, 100, accuracy, span, loss)


PUBLISHED: tuple[Published, ...] = (
    _weights(_ALL_OF_MNIST, 1, 93.00, 1.527),
    _weights(_ALL_OF_MNIST, 2, 94.01, 1.510, span=(76.9, 96.1)),
    _weights(_ALL_OF_MNIST, 4, 95.35, 1.488, span=(84.2, 97.3)),
    _weights(_ALL_OF_MNIST, 6, 95.91, 1.485, span=(85.4, 97.5)),
    _adam("mnist-fcnn", _ALL_OF_MNIST, 96.76, 1.486, span=(96.65, 96.86)),
    _weights(10_000, 1, 95.73, 1.491),
    _weights(10_000, 2, 95.73, 1.486),
    _weights(10_000, 4, 97.02, 1.473),
    _weights(10_000, 6, 97.99, 1.465),
    _adam("mnist-fcnn", 10_000, 98.03, 1.466),
    _resnet(15, 58.65, (49.9, 63.7), 1.14),
    _resnet(30, 59.31, (56.7, 63.2), 1.02),
    _resnet(60, 62.81, (56.2, 71.3), 1.13),
    *_data("mnist-fcnn", _ALL_OF_MNIST, 2, (97.05, 97.67)),
    *_data("mnist-fcnn", _ALL_OF_MNIST, 4, (94.98, 96.35)),
    *_data("mnist-fcnn", _ALL_OF_MNIST, 6, (94.08, 94.23)),
    *_data("mnist-fcnn", 10_000, 2, (98.24, 98.20)),
    *_data("mnist-fcnn", 10_000, 4, (97.11, 97.33)),
    *_data("mnist-fcnn", 10_000, 6, (95.98, 95.97)),
    *_data("cifar10-lenet", 10_000, 2, (53.96, 54.11), (0.436, 0.519)),
    *_data("cifar10-lenet", 10_000, 4, (53.22, 53.70), (1.081, 1.083)),
    *_data("cifar10-lenet", 10_000, 6, (51.96, 52.32), (1.238, 1.221)),
    _adam("cifar10-lenet", 10_000, 53.78, 0.084, source=DATA, runs=None),
)
"""The published averages that correspond to something the package runs. For APTS in weights, order
and forced decrease are not known; the paper's main setting is assumed."""


def published_for(section: Section) -> dict[str, Published]:
    """Return the published averages that correspond to the labels of a section."""
    if section.metric != ACCURACY:
        return {}
    labels = distinct_labels(section.records)
    found = {}
    for run, label in zip(section.records, labels, strict=True):
        for average in PUBLISHED:
            if _corresponds(run, average):
                found[label] = average
    return found


def _corresponds(run: RunRecord, average: Published) -> bool:
    spec = run.spec
    if (run.workload, run.method) != (average.workload, average.method):
        return False
    if run.workload == "mnist-fcnn" and not spec["workload"].get("sigmoid_output"):
        return False
    if spec["workload"].get("train_samples") is not None:
        return False
    size = spec["budget"]["batch_size"]
    whole = size == "full" or size > 50_000
    batch = whole if average.whole else size == average.batch
    return batch and all(spec["optimizer"].get(k) == v for k, v in average.options.items())


def published_table(section: Section) -> Table | None:
    """Set our means beside the published ones, or return None if there are none."""
    averages = published_for(section)
    if not averages:
        return None
    ours = {row["label"]: row for row in comparison(section.runs).to_dict("records")}
    rows = [
        [
            label,
            spread(ours[label], "final_test_accuracy", percent),
            spread(ours[label], "final_train_loss", number),
            f"{floats(group, 'epochs_planned').max():.0f} (n={ours[label]['n']})",
            f"{average.accuracy:.2f}{_in_brackets(average.span)}",
            number(average.loss),
            f"{average.epochs}" + (f" (n={average.runs})" if average.runs else ""),
        ]
        for _, label, group in grouped(section.runs)
        if (average := averages.get(label)) is not None
    ]
    sources = " and ".join(dict.fromkeys(average.source for average in averages.values()))
    return Table(
        "Beside the authors' averages",
        [
            *("label", "test acc. %", "train loss", "epochs"),
            *("their test acc. %", "their loss", "their epochs"),
        ],
        rows,
        [
            f"Theirs: averages at the last epoch in the repositories of {sources}; in brackets the "
            "worst and the best run. The papers do not print them, and settings may differ."
        ],
    )


def _in_brackets(span: tuple[float, float] | None) -> str:
    return "" if span is None else f" [{span[0]:g}, {span[1]:g}]"
