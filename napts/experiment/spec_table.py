"""A table of a spec: what the validated models of all tables have in common."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from napts.quantity import Unit
from napts.text import plain_label


class SpecTable(BaseModel):
    """Base of all parts of a spec: unknown keys, infinite numbers and lax types are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


Label = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(plain_label)]
"""Name of a method in tables and figures: any visible text."""

Epochs = Annotated[int, Field(ge=1, le=10**9), Unit("epochs")]
Samples = Annotated[int, Field(ge=1, le=2**53), Unit("samples")]
Seconds = Annotated[float, Field(gt=0.0, le=1e9), Unit("seconds")]
Threads = Annotated[int, Field(ge=1, le=1024), Unit("threads")]
Ranks = Annotated[int, Field(ge=1, le=1024), Unit("processes")]
