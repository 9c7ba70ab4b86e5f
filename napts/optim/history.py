"""What non-monotone methods remember of the past: losses and promises, a few numbers.

A history answers one question, NAPTS eqs. (6) to (8): against which past loss, and with how much
predicted reduction since then, may the next trial be measured? :class:`Window` keeps the last
successes (CGT Algorithm 10.1.1); :class:`ConstantMemory` keeps four numbers and a counter (CGT
Algorithm 10.1.2; Toint 1997, eqs. (33) to (40)). With memory 0 both give the monotone method.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from napts.optim.acceptance import Reference
from napts.optim.vectors import Vector


@dataclass(frozen=True, slots=True, eq=False)
class PastIterate:
    """A remembered iterate.

    Attributes:
        loss: The batch loss seen there.
        predicted: Reduction that the accepted step from there promised.
        theta: Its parameters, kept only if losses are to be re-evaluated.
    """

    loss: float
    predicted: float
    theta: Vector | None = None


@dataclass(frozen=True, slots=True)
class Success:
    """An accepted step, as a history needs it.

    Attributes:
        loss: Loss at the start of the step.
        trial_loss: Loss at its end.
        predicted: Reduction that it promised.
        start: Parameters at its start; ``None`` if they need not be kept.
        end: Parameters at its end; likewise.
    """

    loss: float
    trial_loss: float
    predicted: float
    start: Vector | None = None
    end: Vector | None = None


class History(Protocol):
    """A memory of past successes."""

    def reference(
        self, loss: float, theta: Vector | None = None
    ) -> tuple[Reference, PastIterate | None]:
        """Choose the reference for a trial.

        Args:
            loss: Loss at the start of the trial.
            theta: Parameters there, given only if losses are to be re-evaluated.

        Returns:
            The reference and the past iterate it represents, or ``None`` for the current one.
        """
        ...

    def push(self, success: Success) -> None:
        """Remember an accepted step."""
        ...

    def clear(self) -> None:
        """Forget everything."""
        ...

    def mark(self) -> Any:
        """Return what :meth:`rollback` needs; copies no vector."""
        ...

    def rollback(self, mark: Any) -> None:
        """Go back to where :meth:`mark` was called."""
        ...

    def move(self, to: Callable[[Vector], Vector]) -> None:
        """Replace every remembered vector by one in another layout."""
        ...

    def adopt(self, other: "History") -> None:
        """Take over what another memory remembers, if it is of the same kind."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return the memory as plain numbers and tensors."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a memory saved by :meth:`state_dict`."""
        ...


class Window:
    """The last ``length`` successes; NAPTS eqs. (6) to (8), CGT Algorithm 10.1.1.

    Args:
        length: Number of successes kept; 0 is the monotone method.
    """

    def __init__(self, length: int) -> None:
        self._entries: deque[PastIterate] = deque(maxlen=length)

    def reference(
        self, loss: float, theta: Vector | None = None
    ) -> tuple[Reference, PastIterate | None]:
        """Return the largest of the window's losses and the current one, the latest if equal."""
        best, chosen, since = Reference(loss, 0.0), None, 0.0
        for entry in reversed(self._entries):
            since += entry.predicted
            if entry.loss > best.loss:
                best, chosen = Reference(entry.loss, since), entry
        return best, chosen

    def push(self, success: Success) -> None:
        """Remember where the step started and what it promised."""
        self._entries.append(PastIterate(success.loss, success.predicted, success.start))

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()

    def mark(self) -> Any:
        """Return what :meth:`rollback` needs; copies no vector."""
        return tuple(self._entries)

    def rollback(self, mark: Any) -> None:
        """Go back to where :meth:`mark` was called."""
        self._entries.clear()
        self._entries.extend(mark)

    def move(self, to: Callable[[Vector], Vector]) -> None:
        """Replace every remembered vector by one in another layout."""
        self.rollback([_moved(entry, to) for entry in self._entries])

    def adopt(self, other: History) -> None:
        """Take over the latest successes of another window."""
        if isinstance(other, Window):
            self.rollback(other.mark())

    def state_dict(self) -> dict[str, Any]:
        """Return the entries, oldest first."""
        return {"entries": [_pack(entry) for entry in self._entries]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over entries saved by :meth:`state_dict`."""
        self._entries.clear()
        self._entries.extend(_unpack(entry) for entry in state["entries"])


class ConstantMemory:
    """Non-monotone memory of constant size; CGT Algorithm 10.1.2, Toint 1997.

    The rule that renews the reference is applied after every success, so that ``length = 0``
    reproduces the monotone method. On mini-batches the current loss is that of the current batch
    (our choice; the sources are deterministic). There, one lucky batch freezes the reference. No
    later loss is below its loss, so only the first ``length`` successes after it can renew the
    reference. From then on the predicted reduction only grows, until the test is practically
    monotone. On mini-batches, use :class:`Window`, or clear the memory at every batch
    (``history_scope="per_batch"``); ``"reeval"`` measures the frozen reference on the current
    batch, which makes it comparable but does not renew it.

    Args:
        length: Number of successes without a new minimum after which the reference is renewed.
    """

    def __init__(self, length: int) -> None:
        self._length = length
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._minimum: float | None = None
        self._reference: PastIterate | None = None
        self._candidate: PastIterate | None = None
        self._since_minimum = 0

    def reference(
        self, loss: float, theta: Vector | None = None
    ) -> tuple[Reference, PastIterate | None]:
        """Return the reference loss and the reduction predicted since it was seen.

        The first loss asked about becomes the first reference.
        """
        if self._length == 0:
            return Reference(loss, 0.0), None
        if self._reference is None:
            self._minimum = loss
            self._reference = self._candidate = PastIterate(loss, 0.0, theta)
        past = self._reference
        return Reference(past.loss, past.predicted), past

    def push(self, success: Success) -> None:
        """Account for an accepted step, Toint 1997, eqs. (33) to (40)."""
        if self._length == 0:
            return
        self.reference(success.loss, success.start)
        assert self._minimum is not None
        assert self._reference is not None
        assert self._candidate is not None
        self._reference = _promised(self._reference, success.predicted)
        self._candidate = _promised(self._candidate, success.predicted)
        loss = success.trial_loss
        if loss < self._minimum:
            self._minimum, self._since_minimum = loss, 0
            self._candidate = _seen(success)
        else:
            self._since_minimum += 1
            if loss > self._candidate.loss:
                self._candidate = _seen(success)
        if self._since_minimum == self._length:
            self._reference = self._candidate

    def mark(self) -> Any:
        """Return what :meth:`rollback` needs; copies no vector."""
        return self._minimum, self._reference, self._candidate, self._since_minimum

    def rollback(self, mark: Any) -> None:
        """Go back to where :meth:`mark` was called."""
        self._minimum, self._reference, self._candidate, self._since_minimum = mark

    def move(self, to: Callable[[Vector], Vector]) -> None:
        """Replace every remembered vector by one in another layout."""
        if self._reference is not None and self._candidate is not None:
            self._reference = _moved(self._reference, to)
            self._candidate = _moved(self._candidate, to)

    def adopt(self, other: History) -> None:
        """Take over the numbers of another such memory.

        If its length differs, the counter is cut so that the reference is still renewed.
        """
        if isinstance(other, ConstantMemory):
            self.rollback(other.mark())
            if self._length != other._length:
                self._since_minimum = min(self._since_minimum, max(self._length - 1, 0))

    def state_dict(self) -> dict[str, Any]:
        """Return the four numbers, the counter and, if kept, the iterates."""
        if self._minimum is None or self._reference is None or self._candidate is None:
            return {}
        return {
            "minimum": self._minimum,
            "since_minimum": self._since_minimum,
            "reference": _pack(self._reference),
            "candidate": _pack(self._candidate),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a memory saved by :meth:`state_dict`."""
        self.clear()
        if state:
            self._minimum = state["minimum"]
            self._since_minimum = state["since_minimum"]
            self._reference = _unpack(state["reference"])
            self._candidate = _unpack(state["candidate"])


def _promised(past: PastIterate, predicted: float) -> PastIterate:
    return PastIterate(past.loss, past.predicted + predicted, past.theta)


def _seen(success: Success) -> PastIterate:
    return PastIterate(success.trial_loss, 0.0, success.end)


def _moved(past: PastIterate, to: Callable[[Vector], Vector]) -> PastIterate:
    return past if past.theta is None else replace(past, theta=to(past.theta))


def _pack(past: PastIterate) -> dict[str, Any]:
    numbers = {"loss": past.loss, "predicted": past.predicted}
    return numbers if past.theta is None else {**numbers, "theta": list(past.theta)}


def _unpack(state: dict[str, Any]) -> PastIterate:
    return PastIterate(**state)
