"""`vlcli plugins new`: writes a complete distribution whose own tests pass."""

from __future__ import annotations

import keyword
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from vlcli.errors import VlcliError
from vlcli.plugins import BUILTIN, NAME_PATTERN

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Kind:
    """What differs between the kinds of plugin.

    Attributes:
        summary: one line for the distribution; `{name}` is the plugin's name.
        requirements: beyond vlcli itself.
        usage: further command lines for the README.
    """

    summary: str
    requirements: tuple[str, ...] = ()
    usage: tuple[str, ...] = ()


IMAGES = ("pillow>=11", "vlcli-images>={version}")
TRAINING = ("vlcli-images>={version}", "vlcli-text>={version}")
KINDS: dict[str, Kind] = {
    "encoder": Kind("The encoder {name} for vlcli.", ("numpy>=2", *IMAGES)),
    "modality": Kind(
        "The modality {name} for vlcli.", ("pillow>=11",),
        ("printf '1 2 3\\n9 8 7\\n' > rows.{extension}", "vlcli embed rows.{extension} --store rows"),
    ),
    "objective": Kind("The objective {name} for vlcli.", TRAINING, ("vlcli run {name}/{name}",)),
    "method": Kind(
        "The method {name} for vlcli.", TRAINING, ("vlcli run {name}/{name}", "vlcli reproduce {name}"),
    ),
    "dataset": Kind("The data set {name} for vlcli.", (), ("vlcli data show {name}/{name}",)),
    "metric": Kind("The metric {name} for vlcli.", ("numpy>=2",)),
    "command": Kind("The command `vlcli {name}`.", (), ("vlcli {name} count encoder",)),
    "recipe": Kind(
        "The recipe {name} for vlcli.", ("vlcli-images>={version}",), ("vlcli run {name}/{name}",),
    ),
    "generator": Kind("The generator {name} for vlcli.", IMAGES),
    "codec": Kind("The codec {name} for vlcli."),
}  # fmt: skip


def new_plugin(name: str, kind: str, folder: Path) -> Path:
    """Write a distribution `vlcli-NAME` into `folder/vlcli-NAME`.

    Returns:
        the new folder.

    Raises:
        VlcliError: U310 a bad name or kind, U311 when the folder is there already.
    """
    if kind not in KINDS:
        raise VlcliError("U310", "--kind", f"'{kind}' is not a kind of plugin", f"choose from {', '.join(KINDS)}")
    check_name(name, kind)
    distribution = f"vlcli-{name}"
    target = folder / distribution
    if target.exists():
        raise VlcliError("U311", str(target), "is there already", "choose another name or --dir")
    for relative, text in render(name, kind).items():
        path = target / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return target


def check_name(name: str, kind: str) -> None:
    """Refuse a name that could not be installed or found.

    Raises:
        VlcliError: U310.
    """
    form = "lower case letters, digits and single dashes, beginning with a letter"
    if not NAME_PATTERN.fullmatch(name) or len(name) > 60:
        raise VlcliError("U310", "", f"'{name}' can not be a plugin's name", f"use {form}")
    if name == BUILTIN or name in sys.stdlib_module_names or keyword.iskeyword(name):
        raise VlcliError("U310", "", f"the name '{name}' is taken", "choose another one")
    if kind == "command":
        from vlcli.verbs import CORE_COMMANDS

        if name in CORE_COMMANDS:
            raise VlcliError("U310", "", f"'{name}' is a verb of vlcli itself", "choose another name")


def render(name: str, kind: str) -> dict[str, str]:
    """Relative path -> content of every file of the distribution."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from vlcli import __version__

    words = name.split("-")
    package = f"vlcli_{name.replace('-', '_')}"
    version = ".".join(__version__.split(".")[:2])
    values = {
        "name": name,
        "distribution": f"vlcli-{name}",
        "package": package,
        "class_name": "".join(word.capitalize() for word in words),
        "function_name": "_".join(words),
        "extension": name.replace("-", ""),
        "version": version,
    }
    described = KINDS[kind]
    context = {
        **values,
        "summary": described.summary.format(**values),
        "requirements": sorted([f"vlcli>={version}", *(text.format(**values) for text in described.requirements)]),
        "usage": [text.format(**values) for text in described.usage],
    }
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False
    )
    files = {
        "pyproject.toml": "common/pyproject.toml.jinja",
        "README.md": "common/README.md.jinja",
        f"src/{package}/__init__.py": "common/init.py.jinja",
    }
    for template in sorted((TEMPLATES / kind).glob("*.jinja")):
        files[place(template.name.removesuffix(".jinja"), package, name)] = f"{kind}/{template.name}"
    return {path: environment.get_template(template).render(context) for path, template in files.items()}


def place(file: str, package: str, name: str) -> str:
    """Where a kind's file belongs."""
    if file.startswith("test_"):
        return f"tests/test_{re.sub('-', '_', name)}.py"
    if file == "recipe.toml":
        return f"src/{package}/recipes/{name}.toml"
    return f"src/{package}/{file}"
