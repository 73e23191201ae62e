"""How commands print: one JSON object on stdout with `--json`, plain lines and tables otherwise."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import typer


def emit_json(payload: dict[str, Any]) -> None:
    """Print a JSON object with `"schema": 1` first; NaN becomes null, as JSON has none."""
    typer.echo(json.dumps(without_nan({"schema": 1, **payload}), ensure_ascii=False, allow_nan=False, default=str))


def without_nan(value: Any) -> Any:
    """Replace NaN and infinities by None, recursively."""
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return value


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Left-aligned columns separated by two spaces, without a rule; an empty table says so."""
    if not rows:
        return "(none)"
    cells = [list(header), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
                     for row in cells)  # fmt: skip
