"""What the bodies of devices and of operators have in common: scalar types, and the answers that both get."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Id = Annotated[str, Field(json_schema_extra={"format": "uuid"})]
Name = Annotated[str, Field(min_length=1, max_length=255)]
Whole = Annotated[int, Field(ge=0, le=0x7FFFFFFF)]
Int32 = Annotated[int, Field(ge=-(2**31), lt=2**31)]
Priority = Literal["critical", "high", "moderate", "low", "planning"]
Setting = str | float | bool | None
Value = Annotated[str, Field(max_length=1000)] | float | bool | None


class Asked(BaseModel):
    """A body that comes in."""


class Answered(BaseModel):
    """A body that goes out."""

    model_config = ConfigDict(extra="forbid")


class Error(Answered):
    """What is refused, and why."""

    error: str


class Success(Answered):
    """That it was done."""

    success: Literal[True]


class Nothing(Answered):
    """An empty object."""


class Coordinates(BaseModel):
    """Degrees."""

    model_config = ConfigDict(extra="forbid")

    lat: float
    lng: float
