"""What methods of one kind share: which parameters they train, in which blocks."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor

from napts.optim.group_options import check_group
from napts.optim.subdomains import Decomposition, ParameterSets
from napts.optim.trust_region import TrustRegionOptimizer


class PlainTrustRegion(TrustRegionOptimizer):
    """A method without subdomains: its blocks are the parameter groups, by device and dtype."""

    def __init__(self, params: Iterable[Any], options: Mapping[str, Any], /) -> None:
        super().__init__(params, self._completed(options))

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters; they share the one trust region.

        Args:
            param_group: The parameters and, if it differs, their ``weight_decay``.

        Raises:
            ValueError: If the group sets any other option.
        """
        check_group(type(self).__name__, param_group, self.by_group)
        super().add_param_group(param_group)


class SubdomainMethod(TrustRegionOptimizer):
    """A method whose proposals come from subdomains; its blocks are theirs."""

    needs = "sets"

    def __init__(self, sets: ParameterSets, options: Mapping[str, Any], /) -> None:
        complete = self._completed(options)
        self._sets = sets
        super().__init__([{"params": list(p)} for p in sets.parameter_sets], complete)

    def _blocks(self) -> Sequence[Sequence[Tensor]]:
        self._complete_groups()
        return self._sets.parameter_sets

    def _trained(self) -> list[Tensor]:
        return [p for own in self._sets.parameter_sets for p in own]

    def _complete_groups(self) -> None:
        """Add parameters that the subdomains have gained since to their groups."""
        known = {id(p) for group in self.param_groups for p in group["params"]}
        sets = self._sets.parameter_sets
        for index, own in enumerate(sets):
            group = self.param_groups[index if len(sets) == len(self.param_groups) else -1]
            group["params"].extend(p for p in own if id(p) not in known)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Refuse further parameters: the subdomains are fixed.

        Raises:
            ValueError: Always, after construction.
        """
        if hasattr(self, "_method"):
            raise ValueError(
                f"{type(self).__name__} takes no further parameter groups: its subdomains are "
                "fixed at construction"
            )
        super().add_param_group(param_group)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_sets": self._sets}


class SchwarzMethod(SubdomainMethod):
    """A method whose subdomains work with what one global pass caches for them."""

    needs = "stages"

    def __init__(self, stages: Decomposition, options: Mapping[str, Any], /) -> None:
        if not isinstance(stages, Decomposition):
            raise ValueError(
                f"Invalid stages: {type(stages).__name__}, must be a decomposition such as "
                "napts.partition_layers(model, n_subdomains=4)"
            )
        super().__init__(stages, options)

    @property
    def _decomposition(self) -> Decomposition:
        assert isinstance(self._sets, Decomposition)
        return self._sets
