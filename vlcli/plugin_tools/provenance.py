"""Where an installed distribution comes from: what pip recorded, read without importing anything of it."""

from __future__ import annotations

import json
from importlib.metadata import Distribution, PackageNotFoundError, distribution


def provenance(name: str) -> dict[str, str]:
    """`source` (index, folder, file or version control), `location`, `author`, `homepage` of a distribution.

    All values are empty strings when the distribution is not installed or says nothing.
    """
    try:
        found = distribution(name)
    except (PackageNotFoundError, ValueError):
        return {"source": "", "location": "", "author": "", "homepage": ""}
    metadata = found.metadata

    def first(*keys: str) -> str:
        return next((str(value) for key in keys for value in metadata.get_all(key) or []), "")

    return {
        "source": source_of(found), "location": str(found.locate_file("")), "author": first("Author", "Author-email"),
        "homepage": first("Home-page", "Project-URL"),
    }  # fmt: skip


def source_of(found: Distribution) -> str:
    """`package index`, or the address that it was installed from (PEP 610), with the commit where there is one."""
    try:
        record = json.loads(found.read_text("direct_url.json") or "null")
    except json.JSONDecodeError:
        return "its direct_url.json is damaged"
    if not isinstance(record, dict):
        return "package index"
    url = str(record.get("url", ""))
    version_control = record.get("vcs_info")
    if isinstance(version_control, dict):
        return f"{version_control.get('vcs', 'vcs')}+{url}@{version_control.get('commit_id', '?')}"
    folder = record.get("dir_info")
    return f"{url} (editable)" if isinstance(folder, dict) and folder.get("editable") else url
