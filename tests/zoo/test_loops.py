"""Every training loop with every method."""

import pytest

from tests.zoo.loops import LOOPS, Loop
from tests.zoo.training import METHODS_OF_LOOPS

pytestmark = pytest.mark.zoo


PAIRS = [(loop, method) for loop in LOOPS for method in METHODS_OF_LOOPS]


@pytest.mark.parametrize(("loop", "method"), [p for p in PAIRS if p[1] in p[0].methods], ids=str)
def test_it_trains(loop: Loop, method: str) -> None:
    loop.run(method)


@pytest.mark.parametrize(("loop", "method"), [p for p in PAIRS if p[1] in p[0].refusals], ids=str)
def test_it_is_refused(loop: Loop, method: str) -> None:
    with pytest.raises((ValueError, RuntimeError), match=loop.refusals[method]):
        loop.run(method)


def test_what_is_left_out_has_a_reason() -> None:
    for loop, method in PAIRS:
        assert method in loop.methods or method in loop.refusals or loop.remark, loop
