"""The claims about APTS in weights and APTS in data, the papers of 2023."""

from napts.papers.claims.claim import Claim
from napts.papers.claims.curves import Overtakes, Rises, Rougher, Scatter, Sooner
from napts.papers.claims.evidence import LEAST, MOST, Who
from napts.papers.claims.rules import Difference, Gap, Ratio
from napts.papers.claims.verdict import Region

_WEIGHTS = "APTS in weights (arXiv 2312.13677)"
_LOSS, _ACCURACY = "train_loss", "val_accuracy"
_MNIST, _CIFAR = "mnist", "cifar10"
_FULL = 50_000
"""The paper's MNIST experiments have the whole training set as one batch."""

_GD, _SGD, _ADAM = Who("SGD", {"momentum": 0.0}, "gradient descent"), Who("SGD"), Who("Adam")
_LBFGS = Who("LBFGS", {"max_iter": 20})
_TR = {order: Who("TR", {"order": order}, f"TR({order})") for order in (1, 2)}
_ALIKE, _NOT_LESS, _NOT_MORE = Region(-2.0, 2.0), Region(at_least=0.0), Region(at_most=0.0)
_AT_MOST_ONE, _AT_LEAST_ONE = Region(at_most=1.0), Region(at_least=1.0)
_DEALT = (2, 4, 6)


def _apts(subdomains: object, order: int = 1, *, forced: bool = False) -> Who:
    options = {"subdomains": subdomains, "order": order, "forced_decrease": forced}
    return Who("APTSW", options, f"APTS({subdomains}, {order})" + (" fdl" if forced else ""))


def _in_data(shards: int) -> Who:
    return Who("APTSD", {"shards": shards, "order": 1}, f"APTS in data with {shards}")


WEIGHTS_AND_DATA = (
    Claim(
        "W1",
        "Adam, LBFGS and gradient descent reach comparable accuracy on MNIST; gradient descent is "
        "slower, with larger variance.",
        f"{_WEIGHTS}, section 3.2",
        (
            Difference(_ACCURACY, _LBFGS, _ADAM, _ALIKE, "end"),
            Difference(_ACCURACY, _GD, _ADAM, _ALIKE, "end"),
            Sooner(_GD, _ADAM, _AT_LEAST_ONE),
            Scatter(_ACCURACY, _GD, _ADAM, _AT_LEAST_ONE),
        ),
        on=_MNIST,
        least_batch=_FULL,
    ),
    Claim(
        "W2",
        "TR is slower than tuned baselines; order 2 overtakes order 1 after 70 epochs.",
        f"{_WEIGHTS}, section 3.2",
        (
            *(
                Sooner(_TR[order], baseline, _AT_LEAST_ONE)
                for order in (1, 2)
                for baseline in (_ADAM, _GD)
            ),
            Overtakes(_TR[2], _TR[1], Region(50.0, 90.0)),
        ),
        on=_MNIST,
        least_batch=_FULL,
    ),
    Claim(
        "W3",
        "Without forced decrease, order 2 has a smoother loss than order 1 and ends alike.",
        f"{_WEIGHTS}, section 3.2",
        (
            *(Rises(_apts(n, 2), _apts(n, 1), _NOT_MORE) for n in _DEALT),
            *(Rougher(_apts(n, 2), _apts(n, 1), None) for n in _DEALT),
            *(Gap(_LOSS, _apts(n, 2), _apts(n, 1), Region(-0.01, 0.01), "end") for n in _DEALT),
            *(Difference(_ACCURACY, _apts(n, 2), _apts(n, 1), _ALIKE, "end") for n in _DEALT),
        ),
        on=_MNIST,
        least_batch=_FULL,
    ),
    Claim(
        "W4",
        "With forced decrease, order 2 varies less and is marginally more accurate.",
        f"{_WEIGHTS}, section 3.2",
        tuple(
            rule
            for n in _DEALT
            for second, first in [(_apts(n, 2, forced=True), _apts(n, 1, forced=True))]
            for rule in (
                Scatter(_ACCURACY, second, first, _AT_MOST_ONE),
                Difference(_ACCURACY, second, first, _NOT_LESS, "end"),
            )
        ),
        on=_MNIST,
        least_batch=_FULL,
    ),
    Claim(
        "W5",
        "More subdomains help; 6 are best and vary least.",
        f"{_WEIGHTS}, section 3.2",
        (
            Difference(_ACCURACY, _apts(4), _apts(2), _NOT_LESS, "end"),
            Difference(_ACCURACY, _apts(6), _apts(4), _NOT_LESS, "end"),
            *(Scatter(_ACCURACY, _apts(6), _apts(n), _AT_MOST_ONE) for n in (2, 4)),
        ),
        on=_MNIST,
        least_batch=_FULL,
    ),
    Claim(
        "W6",
        "With 6 subdomains and order 1, no forced decrease is slightly better.",
        f"{_WEIGHTS}, section 3.2",
        (
            Difference(_ACCURACY, _apts(6), _apts(6, forced=True), _NOT_LESS, "end"),
            Ratio(_LOSS, _apts(6), _apts(6, forced=True), _AT_MOST_ONE, "end"),
        ),
        on=_MNIST,
        least_batch=_FULL,
    ),
    Claim(
        "W7",
        "On CIFAR-10 forced decrease lowers the loss more but generalises worse.",
        f"{_WEIGHTS}, section 3.3",
        (
            Ratio(_LOSS, _apts(MOST, forced=True), _apts(MOST), _AT_MOST_ONE, "end"),
            Difference(_ACCURACY, _apts(MOST, forced=True), _apts(MOST), _NOT_MORE, "end"),
        ),
        on=_CIFAR,
    ),
    Claim(
        "W8",
        "On CIFAR-10 SAPTS of order 2 generalises poorly, with a smoother loss.",
        f"{_WEIGHTS}, section 3.3",
        (
            Difference(_ACCURACY, _apts(MOST, 2), _apts(MOST), Region(at_most=-1.0), "end"),
            Rises(_apts(MOST, 2), _apts(MOST), _NOT_MORE),
            Rougher(_apts(MOST, 2), _apts(MOST), None),
        ),
        on=_CIFAR,
    ),
    Claim(
        "W9",
        "On CIFAR-10 SAPTS improves with the number of subdomains; the most generalise marginally "
        "better than Adam, needing a few more epochs.",
        f"{_WEIGHTS}, section 3.3",
        (
            Difference(_ACCURACY, _apts(MOST), _apts(LEAST), _NOT_LESS, "end"),
            Difference(_ACCURACY, _apts(MOST), _ADAM, _NOT_LESS, "end"),
            Sooner(_apts(MOST), _ADAM, Region(1.0, 2.0), _ACCURACY),
        ),
        on=_CIFAR,
    ),
    Claim(
        "D1",
        "APTS in data is comparable to SGD and Adam without tuning, and degrades with the "
        "number of shards.",
        "APTS in data (2023), summary",
        (
            *(
                Difference(_ACCURACY, _in_data(2), baseline, Region(at_least=-2.0), "end")
                for baseline in (_ADAM, _SGD)
            ),
            Difference(_ACCURACY, _in_data(6), _in_data(2), _NOT_MORE, "end"),
        ),
    ),
)
"""W1 to W9 and D1. For the paper's 60 subdomains, the largest number in a comparison is used."""
