"""Views of items inside a page: the scripts that draw them, each embedded once and allowed by its hash."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from markupsafe import Markup

from vlcli.api import View
from vlcli.errors import VlcliError

HOST = "vlcli.report:templates/viewer_host.js"
"""Starts and stops the viewers of a page."""


@dataclass(frozen=True)
class Script:
    """A script as it stands in a page.

    Attributes:
        name: of its file, `"package:viewer.js"`.
        text: all of it.
    """

    name: str
    text: str

    @property
    def hash(self) -> str:
        """What a content security policy calls it."""
        return "sha256-" + base64.b64encode(hashlib.sha256(self.text.encode()).digest()).decode("ascii")

    @property
    def markup(self) -> Markup:
        """The text, unescaped: scripts are part of an installed package, and `read_script` has looked at it."""
        return Markup(self.text)


def view_scripts(views: Iterable[View | None]) -> list[Script]:
    """The scripts that these views need, the host first; none without views.

    Raises:
        VlcliError: E511 when a script can not be read or embedded.
    """
    names = dict.fromkeys(view.script for view in views if view is not None)
    return [read_script(name) for name in (HOST, *names)] if names else []


@cache
def read_script(name: str) -> Script:
    """A script of a package.

    Raises:
        VlcliError: E511.
    """
    package, _, file = name.partition(":")
    help = "report it to the plugin's author"
    try:
        text = resources.files(package).joinpath(file).read_text(encoding="utf-8")
    except (OSError, ModuleNotFoundError, UnicodeDecodeError, ValueError) as error:
        raise VlcliError("E511", name, f"the script of a view can not be read ({error})", help) from None
    text = text.replace("\r\n", "\n")
    if "</script" in text.lower() or "<!--" in text:
        raise VlcliError("E511", name, "the script of a view would end its element", help)
    return Script(name, text)


def as_json(data: Mapping[str, Any]) -> Markup:
    """Data as JSON that no HTML parser can mistake for anything else."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))
