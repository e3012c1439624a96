"""Rows of the tables as records: dataclasses whose fields have the names of columns."""

from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Row

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    T = TypeVar("T", bound=DataclassInstance)


def of_row(kind: type["T"], row: Row[Any]) -> "T":
    """A record of this kind, out of a row that has all its columns."""
    return kind(**{field.name: getattr(row, field.name) for field in fields(kind)})


def columns_of(record: "DataclassInstance") -> dict[str, Any]:
    """The columns of a record, to be inserted."""
    return {field.name: getattr(record, field.name) for field in fields(record)}
