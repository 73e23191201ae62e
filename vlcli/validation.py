"""What a hook may yield: the right Spec, with fields of the right type. Checked before anything else sees it."""

from __future__ import annotations

import dataclasses
import importlib.machinery
import importlib.util
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

NAME_PATTERN = re.compile(r"[a-z0-9]+([-._][a-z0-9]+)*")
TARGET_PATTERN = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
MODULE_PATTERN = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
METHOD_KINDS = ("align", "pretrain", "generate", "adapt", "data", "measure")


def is_text(value: Any) -> bool:
    return isinstance(value, str)


def is_optional_text(value: Any) -> bool:
    return value is None or isinstance(value, str)


def is_tuple_of_text(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(item, str) for item in value)


# Annotations of Spec fields as they are written in vlcli.api -> (check, words for the message). Importing `typing`'s
# evaluation of annotations for this would cost every start more than the table does.
FIELD_TYPES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "str": (is_text, "a string"),
    "str | None": (is_optional_text, "a string or None"),
    "tuple[str, ...]": (is_tuple_of_text, "a tuple of strings"),
}


def check_spec(spec: Any, spec_type: type[Any], where: str) -> None:
    """Check one object that a hook yielded.

    Args:
        where: begins the messages, usually the hook's name.

    Raises:
        TypeError: when it is of another class, or a field has another type than `vlcli.api` declares.
        ValueError: when a field's text has not the form that it needs.
    """
    if type(spec) is not spec_type:
        what = f"the class {spec.__name__} itself" if isinstance(spec, type) else type(spec).__name__
        raise TypeError(f"{where} yielded {what} instead of {spec_type.__name__}")
    label = getattr(spec, "name", None)
    place = f"{where}: {label!r}" if isinstance(label, str) else where
    for field in dataclasses.fields(spec_type):
        value = getattr(spec, field.name)
        accepts, words = FIELD_TYPES[str(field.type)]
        if not accepts(value):
            hint = " (a comma is missing?)" if field.type == "tuple[str, ...]" and isinstance(value, str) else ""
            raise TypeError(f"{place}: '{field.name}' must be {words}, not {value!r:.60}{hint}")
    for name, pattern, form in (
        ("name", NAME_PATTERN, "lower case letters and digits joined by single '-', '_' or '.'"),
        ("target", TARGET_PATTERN, "of the form 'package.module:attribute'"),
        ("options", TARGET_PATTERN, "of the form 'package.module:Model'"),
        ("modality", NAME_PATTERN, "the name of a modality"),
        ("package", MODULE_PATTERN, "the name of a package"),
    ):
        value = getattr(spec, name, None)
        if value is not None and not pattern.fullmatch(value):
            raise ValueError(f"{place}: the {name} '{value}' is not {form}")
    for extension in getattr(spec, "extensions", ()):
        if not extension.startswith(".") or extension != extension.lower():
            raise ValueError(f"{place}: the extension '{extension}' is not lower case with a leading dot")
    for column in getattr(spec, "columns", ()):
        if not column.strip() or column != column.strip().lower():
            raise ValueError(f"{place}: the column '{column}' is not lower case")
    for kind in getattr(spec, "kind", ()):
        if kind not in METHOD_KINDS:
            raise ValueError(f"{place}: the kind '{kind}' is not one of {', '.join(METHOD_KINDS)}")


def check_specs(specs: list[Any], spec_type: type, where: str) -> None:
    """Check all that one hook yielded, and that no name is given twice.

    Raises:
        TypeError, ValueError: as `check_spec`.
    """
    names: set[str] = set()
    for spec in specs:
        check_spec(spec, spec_type, where)
        name = getattr(spec, "name", None)
        if name in names:
            raise ValueError(f"{where}: the name '{name}' is given twice")
        if name is not None:
            names.add(name)


def recipe_folder(package: str, folder: str) -> Path | None:
    """The folder of a RecipeFolderSpec on disk, without importing the package; None when it is not there."""
    loaded = sys.modules.get(package)
    spec: importlib.machinery.ModuleSpec | None
    spec = getattr(loaded, "__spec__", None) if loaded is not None else importlib.util.find_spec(package)
    for location in (spec.submodule_search_locations or []) if spec is not None else []:
        candidate = Path(location) / folder
        if candidate.is_dir():
            return candidate
    return None
