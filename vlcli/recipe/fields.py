"""Field types that the schemas share: strict, without coercion, with sentences for what they refuse."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator
from pydantic_core import PydanticCustomError

Item = TypeVar("Item")


class Section(BaseModel):
    """Base of every table of a recipe: strict types, no unknown keys, unchangeable."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Component(BaseModel):
    """A component named by `use`; the keys beside it are its options, checked against the component's own model."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True, allow_inf_nan=False)

    use: Annotated[str, Field(min_length=1)]

    @property
    def options(self) -> dict[str, Any]:
        """The component's options as given."""
        return dict(self.model_extra or {})


def array_to_tuple(value: Any) -> Any:
    """A TOML array as the tuple that a frozen model holds; anything else is left for the validator to refuse."""
    return tuple(value) if isinstance(value, list) else value


def number_or_auto(value: Any) -> int | str:
    """A whole number of at least 1, or "auto"."""
    if value == "auto" or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value  # type: ignore[no-any-return]
    raise PydanticCustomError("expected", 'expected a whole number of at least 1, or "auto"')


def place_inside(value: Any) -> str:
    """A file's name inside the run's folder; "" where none is wanted."""
    parts = value.replace("\\", "/").split("/") if isinstance(value, str) else [""]
    if not isinstance(value, str) or (value and (parts[0] in ("", "~") or ".." in parts or ":" in parts[0])):
        raise PydanticCustomError("expected", "expected the name of a file inside the run's folder, such as page.html")
    return value


Name = Annotated[str, Field(min_length=1)]
Names = Annotated[tuple[Name, ...], BeforeValidator(array_to_tuple)]
SomeNames = Annotated[tuple[Name, ...], BeforeValidator(array_to_tuple), Field(min_length=1)]
Table = dict[str, Any]
Positive = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
PositiveOrAuto = Annotated[int | str, PlainValidator(number_or_auto)]
Place = Annotated[str, PlainValidator(place_inside)]
