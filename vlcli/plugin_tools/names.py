"""Names of distributions."""

from __future__ import annotations


def normal(name: str) -> str:
    """A distribution's name as packaging compares it."""
    from packaging.utils import canonicalize_name

    return canonicalize_name(name)
