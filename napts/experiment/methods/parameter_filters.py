"""Which parameters of a network an optimizer gets, if another one gets the rest."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Literal

from torch import Tensor, nn

Filter = Literal["matrices"] | tuple[str, ...]
"""The matrices of the hidden layers, or patterns of parameter names."""


def divide(model: nn.Module, chosen: Filter) -> tuple[list[Tensor], list[Tensor]]:
    """Divide the parameters of a network in two.

    ``"matrices"`` are the two-dimensional weights of its hidden layers: not those of embeddings,
    nor of the first and the last layer that has a weight with two dimensions or more, as Muon's
    author advises. Patterns are shell patterns (``*``, ``?``, ``[...]``) for whole names, as in
    ``model.named_parameters()``.

    Args:
        model: The network.
        chosen: What belongs to the first part.

    Returns:
        The chosen ones and the others, both in the order of the network.

    Raises:
        ValueError: No trained parameter is chosen, none is left, or a pattern matches nothing.
    """
    named = list(model.named_parameters())
    names = _matrices(model) if chosen == "matrices" else _matching([n for n, _ in named], chosen)
    first: list[Tensor] = [p for name, p in named if name in names]
    rest: list[Tensor] = [p for name, p in named if name not in names]
    if not any(p.requires_grad for p in first):
        raise ValueError(
            f"optimizer.parameters: {_said(chosen)} matches none of the network's trained "
            f"parameters, allowed: some of {', '.join(name for name, _ in named)}"
        )
    if not any(p.requires_grad for p in rest):
        raise ValueError(
            f"optimizer.parameters: {_said(chosen)} matches all of the network's trained "
            "parameters, allowed: some of them, or leave out parameters and rest"
        )
    return first, rest


def _said(chosen: Filter) -> str:
    return chosen if isinstance(chosen, str) else ", ".join(chosen)


def _matching(names: Sequence[str], patterns: Sequence[str]) -> set[str]:
    found: set[str] = set()
    for pattern in patterns:
        matched = {name for name in names if fnmatchcase(name, pattern)}
        if not matched:
            raise ValueError(
                f"optimizer.parameters: {pattern!r} matches no parameter, allowed: patterns of "
                f"{', '.join(names)}"
            )
        found |= matched
    return found


def _matrices(model: nn.Module) -> set[str]:
    """Return the names of the hidden layers' matrices."""
    # With the tensors that several modules have: a last layer may share its weight with the first.
    every = [
        (name, parameter, owner)
        for prefix, owner in model.named_modules(remove_duplicate=False)
        for name, parameter in owner.named_parameters(prefix, False, False)
        if parameter.dim() >= 2
    ]
    ends = {id(every[i][1]) for i in (0, -1)} if every else set()
    embeddings = {
        id(p) for _, p, owner in every if isinstance(owner, (nn.Embedding, nn.EmbeddingBag))
    }
    hidden = {id(p) for _, p, _ in every if p.dim() == 2} - ends - embeddings
    return {name for name, parameter in model.named_parameters() if id(parameter) in hidden}
