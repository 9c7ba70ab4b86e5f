"""A table of a spec: what is common to the validated models of all of them."""

from pydantic import BaseModel, ConfigDict


class SpecTable(BaseModel):
    """Base of all parts of a spec: unknown keys, infinite numbers and lax types are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
