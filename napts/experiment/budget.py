"""How much training a run gets."""

from typing import Annotated

from pydantic import Field

from napts.experiment.method_options import Options


class Budget(Options):
    """How much training.

    Attributes:
        epochs: Passes over the training samples.
        batch_size: Samples per batch; None stands for the workload's default.
        overlap: Share of the batch size that every batch takes from every other one, besides.
    """

    epochs: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=1)] | None = None
    overlap: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
