"""Bounds of the numbers in the options of the package's own problems."""

from typing import Annotated

from pydantic import Field

from napts.quantity import Unit

Samples = Annotated[int, Field(ge=1, le=10_000_000), Unit("samples")]
"""Ten million need a few hundred MB; a thousand times as many need more memory than there is."""

Width = Annotated[int, Field(ge=1, le=4096), Unit("units of a layer")]
Layers = Annotated[int, Field(ge=1, le=64), Unit("layers or blocks")]
GridPoints = Annotated[int, Field(ge=1, le=3000), Unit("points along a coordinate")]
DataSeed = Annotated[int, Field(ge=0, lt=2**63)]
Scale = Annotated[float, Field(ge=0.0, le=1e6)]
