"""Where the data files of installed packages are. Nothing is imported from them, and nothing is downloaded."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from vlcli.api import VlcliError


def package_file(package: str, relative: str, distribution: str) -> Path:
    """A data file inside an installed package.

    Raises:
        VlcliError: D650 when the package or the file is missing.
    """
    spec = importlib.util.find_spec(package)
    for place in (spec.submodule_search_locations or []) if spec is not None else []:
        path = Path(place) / relative
        if path.is_file():
            return path
    raise VlcliError("D650", f"{package}/{relative}", f"is not installed (package {distribution})",
                     f"pip install {distribution}")  # fmt: skip
