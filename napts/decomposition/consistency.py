"""When local gradients are compared with the global one, and what follows."""

import math
import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from napts.decomposition.structure import Key, appearance, changed, dependence
from napts.optim.subdomains import CaptureAgainError

EVERY = 256
"""Captured passes after which blocks are compared again, whatever they look like: a safety net for
what the structure does not show, such as a number from a closure that tracing has frozen in a
block."""

_LOOKS = 64
"""How many graphs are remembered; a model with more has no structure to speak of."""

_OFTEN = 4
"""After this many changes of an attribute, a copy traced with one value is not trusted."""

Copies = Literal["trusted", "possible", "none"]
"""Whether blocks have traced copies of their operations. In a model of nested `nn.Sequential` only,
these are its own modules, one after the other. For any other model they may go wrong where its code
branches or reads a number, so its own code runs unless copies are needed."""


class Consistency:
    """Watches over the blocks of one model.

    A comparison costs a local pass. It is made at the first captured pass, whenever the graph of
    the loss or the modules look different, and once in a long while.

    Args:
        model: The network.
        copies: Whether the blocks have traced copies of their operations.

    Attributes:
        traced: Whether the blocks run with these copies.
        reason: Why they cannot.
        lacking: Blocks whose gradient is incomplete, by the graph of the latest loss.
        compares: Whether blocks are compared in this pass.
    """

    def __init__(self, model: nn.Module, copies: Copies) -> None:
        self.traced = copies == "trusted"
        self.reason = "cut by hand, or with tensors made in its forward" if copies == "none" else ""
        self.lacking: frozenset[int] = frozenset()
        self.compares = True
        self._model = model
        self._copies: Copies = copies
        self._appearance: list[tuple[Key, Any]] | None = None
        self._changes: Counter[Key] = Counter()
        self._different: dict[int, set[int]] = {}
        self._signature = 0
        self._age = 0
        self._told = False
        self._foreign: set[Tensor] = set()

    def ask_for_copies(self) -> None:
        """Let the blocks run with their copies, if they have any that can be trusted."""
        if self._copies == "possible" and not self.traced:
            self.traced = True
            self._different.clear()

    def begin(self) -> None:
        """Examine the modules before a captured pass."""
        self.compares = True
        if not self.traced:
            return
        found = appearance(self._model, containers_only=self._copies == "trusted")
        if found == self._appearance:
            return
        if self._appearance is not None and self._copies == "possible":
            self._changes.update(changed(self._appearance, found))
            for (_, name), times in self._changes.items():
                if times >= _OFTEN:
                    self._distrust(f"its attribute {name} keeps changing")
                    return
        self._appearance = found
        self._different.clear()

    def inspect(
        self, loss: Tensor, outputs: Sequence[list[Tensor]], parameters: Sequence[Sequence[Tensor]]
    ) -> None:
        """Examine the graph of a captured loss; decide what must be compared."""
        found = dependence(loss, outputs, parameters)
        self.lacking, self._signature = found.lacking, found.signature
        self._age += 1
        self.compares = found.signature not in self._different or self._age > EVERY
        if self.compares:
            self._age = 0
            if len(self._different) > _LOOKS:
                self._different.clear()
            self._different[found.signature] = set()
            self._tell(found.misplaced)
        if any(tensor not in self._foreign for tensor in found.strangers):
            self._check_strangers(found.strangers)

    def compared(self, blocks: int) -> list[int]:
        """Return the blocks whose gradients are to be compared in this pass."""
        if self.compares:
            return list(range(blocks))
        return sorted(self.lacking | self._different.get(self._signature, set()))

    def check_outputs(self, block: int, found: Sequence[Tensor], known: Sequence[Tensor]) -> None:
        """Check that a block, run alone at the iterate, returns what it did in the model.

        Raises:
            CaptureAgainError: If a traced block does not; the model's own code is used from now on.
            RuntimeError: If the model's own code does not.
        """
        if not all(bool(torch.isfinite(tensor).all()) for tensor in known):
            self._postpone()
            return
        if len(found) == len(known) and all(map(_alike, found, known)):
            return
        if self.traced:
            self._stop_tracing(f"block {block} does not compute the same as its traced copy")
        raise RuntimeError(
            f"block {block}, run again on the same inputs, returns something else: the model's "
            "forward must depend only on its parameters, its inputs and torch's random "
            "generators"
        )

    def remainder(self, block: int, local: Tensor, whole: Tensor, scale: Tensor) -> Tensor | None:
        """Return the difference between the global gradient's block and a block's own gradient.

        Arguments, result and errors as in
        :meth:`napts.optim.subdomains.Decomposition.remainder`.
        """
        difference = whole - local
        if block in self.lacking:
            return difference
        tolerance = torch.finfo(difference.dtype).eps ** 0.5
        distance, length, total = torch.stack(
            [torch.linalg.vector_norm(v).double() for v in (difference, whole)]
            + [scale.double().to(whole.device)]
        ).tolist()
        if not math.isfinite(distance):
            self._postpone()
            return None
        if distance <= tolerance * max(length, tolerance * total):
            return None
        if self.traced:
            self._stop_tracing(f"block {block} has a different gradient from its traced copy")
        self._different.setdefault(self._signature, set()).add(block)
        return difference

    def _postpone(self) -> None:
        """Compare again in the next pass: this one has numbers that are not finite."""
        self._different.pop(self._signature, None)

    def _distrust(self, reason: str) -> None:
        """Run the blocks through the model's own code from now on."""
        self.traced, self.reason, self._copies = False, reason, "none"
        self._different.clear()

    def _stop_tracing(self, reason: str) -> None:
        self._distrust(reason)
        raise CaptureAgainError(reason)

    def _check_strangers(self, strangers: Sequence[Tensor]) -> None:
        """Check that whatever the loss depends on besides the blocks is not part of the model.

        Raises:
            RuntimeError: If a parameter of the model is in no block.
        """
        wanted = {id(tensor) for tensor in strangers}
        names = [name for name, p in self._model.named_parameters() if id(p) in wanted]
        if names:
            raise RuntimeError(
                f"parameters of no block: {', '.join(names)} were added to the model after it was "
                "partitioned; partition it again, and make a new optimizer from that"
            )
        self._foreign = set(strangers)

    def _tell(self, misplaced: Sequence[Tensor]) -> None:
        if not misplaced or self._told:
            return
        self._told = True
        wanted = {id(tensor) for tensor in misplaced}
        names = [name for name, p in self._model.named_parameters() if id(p) in wanted]
        warnings.warn(
            f"parameters {', '.join(names)} are used outside their block: local steps keep the "
            "gradient they have at the iterate; cut the model elsewhere, or list its modules in "
            "the order in which they are called",
            stacklevel=2,
        )


def _alike(found: Tensor, known: Tensor) -> bool:
    if found.shape != known.shape:
        return False
    found, known = found.detach(), known.detach()
    eps = max(torch.finfo(found.dtype).eps, torch.finfo(known.dtype).eps)
    distance = torch.linalg.vector_norm(found.to(known.dtype) - known).double()
    return bool(distance <= eps**0.5 * torch.linalg.vector_norm(known).double() + eps)
