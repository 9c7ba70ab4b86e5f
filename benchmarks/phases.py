"""Which phase of Algorithm 1 the time of a step goes to, by watching the methods from outside."""

import functools
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from napts.optim.objective import Objective
from napts.optim.schwarz import AdditiveSchwarz
from napts.optim.trials import AcceptanceTest

PHASES = ("global pass", "local phase", "trial", "correction", "gradient of trial", "global step")
_OF_TRIAL = {"proposal": "trial", "correction": "correction", "global": "global step"}


@contextmanager
def phase_times() -> Iterator[dict[str, float]]:
    """Collect the seconds that steps spend in each of `PHASES` while this is open.

    "global pass" is line 4, "local phase" lines 6 to 9, "trial" line 10, "correction" line 11,
    "gradient of trial" the backward pass of an accepted trial, "global step" the tries of line 13.
    """
    spent: dict[str, float] = defaultdict(float)
    watched: list[tuple[type, str, Callable[..., str]]] = [
        (Objective, "linearise", lambda *_: "global pass"),
        (AdditiveSchwarz, "propose", lambda *_: "local phase"),
        (AcceptanceTest, "judge", lambda _test, _step, phase, *_: _OF_TRIAL[phase]),
        (Objective, "linearise_trial", lambda *_: "gradient of trial"),
    ]
    originals = [(owner, name, owner.__dict__[name]) for owner, name, _ in watched]
    for (owner, name, original), (_, _, phase_of) in zip(originals, watched, strict=True):
        setattr(owner, name, _timed(original, phase_of, spent))
    try:
        yield spent
    finally:
        for owner, name, original in originals:
            setattr(owner, name, original)


def _timed(
    original: Callable[..., Any], phase_of: Callable[..., str], spent: dict[str, float]
) -> Callable[..., Any]:
    @functools.wraps(original)
    def timed(*args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        try:
            return original(*args, **kwargs)
        finally:
            spent[phase_of(*args)] += time.perf_counter() - start

    return timed
