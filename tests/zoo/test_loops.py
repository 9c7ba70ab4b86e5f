"""Every training loop with every method."""

import pytest

from tests.zoo.loops import LOOPS, Loop
from tests.zoo.training import METHODS

pytestmark = pytest.mark.zoo


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("loop", LOOPS, ids=str)
def test_loop(loop: Loop, method: str) -> None:
    if method in loop.methods:
        loop.run(method)
        return
    with pytest.raises((ValueError, RuntimeError), match=loop.refusals[method]):
        loop.run(method)
