"""What every part of a tenant document is: closed, frozen, compared by value."""

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """A mapping of fields. A field that does not exist is refused: a slip of the pen never passes for a rule."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_by_name=True, validate_by_alias=True)
