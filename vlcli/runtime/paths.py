"""Where vlcli keeps its things: `$VLCLI_HOME`, or the platform's user data folder."""

from __future__ import annotations

import os
from pathlib import Path


def home() -> Path:
    """The folder of stores, cache and `plugins.toml`; it is not created here."""
    given = os.environ.get("VLCLI_HOME")
    if given:
        return Path(given).expanduser()
    import platformdirs

    return Path(platformdirs.user_data_dir("vlcli", appauthor=False))


def cache_dir(*parts: str) -> Path:
    """A folder below the cache, made when missing."""
    folder = home().joinpath("cache", *parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def plugins_file() -> Path:
    """The file that records installed and disabled plugins."""
    return home() / "plugins.toml"


def store_path(name_or_path: str) -> Path:
    """A store is a path, or a bare name (no separator) under `$VLCLI_HOME/stores`."""
    if "/" in name_or_path or os.sep in name_or_path or name_or_path.startswith((".", "~")):
        return Path(name_or_path).expanduser()
    return home() / "stores" / name_or_path
