"""The suite around training does what it times, on this tree."""

from typing import Any

import pytest

from benchmarks.harness import Figures, Records

pytestmark = pytest.mark.bench


@pytest.mark.parametrize("suite", [Records, Figures])
def test_what_is_timed_runs(suite: type[Any]) -> None:
    timed = [name for name in vars(suite) if name.startswith("time_")]
    assert timed
    made = suite()
    made.setup()
    try:
        for name in timed:
            getattr(made, name)()
    finally:
        made.teardown()
