"""The guard against rounding in the acceptance test: off it changes nothing."""

import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napts.optim.acceptance import FAILED, Reference, judge

EPS = sys.float_info.epsilon
GUARD = 10 * EPS
numbers = st.floats(allow_nan=True, allow_infinity=True)


@given(st.floats(-1e3, 1e3), numbers, numbers)
def test_without_it_a_small_promise_is_none(loss: float, trial: float, predicted: float) -> None:
    verdict = judge(loss, trial, predicted, Reference(loss, 0.0), 0.25)
    if not 1e-12 * min(1.0, abs(loss)) < predicted < math.inf or not math.isfinite(trial):
        assert verdict is FAILED
    else:
        assert verdict.accepted == (loss - trial >= 0.25 * predicted)


@given(
    st.floats(-1e3, 1e3).filter(lambda loss: abs(loss) > 1e-3),
    st.floats(-1.0, 1.0),
    st.floats(-0.5, 1.0).filter(lambda share: not 0.0 < share < 1e-200),
)
def test_with_it_noise_counts_as_success(loss: float, rise: float, promise: float) -> None:
    trial, predicted = loss + 5 * EPS * loss * rise, 5 * EPS * abs(loss) * promise
    verdict = judge(loss, trial, predicted, Reference(loss, 0.0), 0.25, GUARD)
    assert verdict.accepted == (predicted > 0.0)
    if verdict.accepted:
        assert verdict.ratio_current == 1.0
        assert verdict.exceeds(0.75)


@pytest.mark.parametrize("loss", [1e-6, 1.0, 50.0])
def test_beyond_rounding_it_changes_nothing(loss: float) -> None:
    """A rise that is more than rounding is no success, whatever was promised, nor a large one."""
    for rise, promise in ((1e-12, 1e-30), (1e-3, 0.1), (-1e-3, 1e-3), (-1e-4, 1e-3), (2.0, 1e-16)):
        trial, predicted = loss * (1 + rise), loss * promise
        verdict = judge(loss, trial, predicted, Reference(loss, 0.0), 0.25, GUARD)
        assert verdict.accepted == (loss - trial >= 0.25 * predicted)
    assert judge(loss, math.nan, 1e-20, Reference(loss, 0.0), 0.25, GUARD) is FAILED


def test_it_is_relative_to_the_loss() -> None:
    """At a loss of 1e-9 a rise of 1e-17 is none of rounding."""
    assert not judge(1e-9, 1e-9 + 1e-17, 1e-18, Reference(1e-9, 0.0), 0.25, GUARD).accepted
    assert judge(1.0, 1.0 + 2 * EPS, 1e-18, Reference(1.0, 0.0), 0.25, GUARD).accepted
