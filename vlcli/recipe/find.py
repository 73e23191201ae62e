"""Where recipes are: those that packages ship, by name, and those of the user, by path."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vlcli.errors import did_you_mean
from vlcli.recipe.problems import Origin, Problem, RecipeError

if TYPE_CHECKING:
    from vlcli.registry import Registry

SUFFIX = ".toml"


@dataclass(frozen=True)
class RecipeFile:
    """A recipe file.

    Attributes:
        path: the file.
        label: how messages name it: the path as given, or `@plugin/name`.
        root: the folder of the package that ships it, which its `extends` may not leave; None for the user's own.
    """

    path: Path
    label: str
    root: Path | None = None

    @property
    def name(self) -> str:
        """The name that the file gives the recipe."""
        return self.path.stem


def shipped_recipes(registry: Registry) -> dict[str, RecipeFile]:
    """`plugin/name` -> file, of all recipes that packages ship, sorted; files that begin with `_` are for `extends`."""
    found: dict[str, RecipeFile] = {}
    for plugin, folder in recipe_folders(registry):
        for path in folder.glob(f"*{SUFFIX}"):
            if not path.name.startswith("_"):
                found[f"{plugin}/{path.stem}"] = RecipeFile(path, f"@{plugin}/{path.stem}", folder)
    return dict(sorted(found.items()))


def recipe_folders(registry: Registry) -> list[tuple[str, Path]]:
    """(plugin, folder) of the registered folders that are there. Top-level packages are not imported for this."""
    found = []
    for plugin, spec in registry.recipe_folders:
        for place in package_folders(spec.package):
            candidates = [place / spec.folder]
            if spec.package == "vlcli":
                # A wheel carries the recipes inside the package; a checkout has them beside it.
                candidates.append(place.parent / spec.folder)
            folder = next((candidate for candidate in candidates if candidate.is_dir()), None)
            if folder is not None:
                found.append((plugin, folder.resolve()))
    return found


def package_folders(package: str) -> list[Path]:
    """The folders of a package, as the import system finds them."""
    from importlib.util import find_spec

    spec = find_spec(package)
    return [Path(place) for place in (spec.submodule_search_locations or [])] if spec is not None else []


def is_path(text: str) -> bool:
    """Whether a recipe is given as a path: it ends in `.toml`, or begins like a path."""
    return text.endswith(SUFFIX) or text.startswith((".", "/", "~", "\\")) or ":\\" in text


def locate(text: str, registry: Registry) -> RecipeFile:
    """The recipe that a user means: a path, `plugin/name`, `@plugin/name`, or `name` while it is unique.

    Raises:
        RecipeError: R110 when there is none of that name, or several.
    """
    if is_path(text):
        return RecipeFile(Path(text).expanduser(), text)
    return locate_shipped(text.removeprefix("@"), registry, Origin(text), "")


def locate_shipped(name: str, registry: Registry, where: Origin, key: str) -> RecipeFile:
    """The shipped recipe of this full or short name.

    Raises:
        RecipeError: R110 when there is none of that name or several, R122 when its plugin is not active.
    """
    known = shipped_recipes(registry)
    if name in known:
        return known[name]
    matches = [full for full in known if full.partition("/")[2] == name]
    if len(matches) == 1:
        return known[matches[0]]
    if matches:
        problem = Problem("R110", where, key, f"the recipe '{name}' is ambiguous", f"write {' or '.join(matches)}")
        raise RecipeError([problem])
    short = [full.partition("/")[2] for full in known]
    hint = did_you_mean(name, sorted({*known, *short}))
    plugin = name.partition("/")[0]
    if "/" in name and not hint and plugin not in {found for found, _ in registry.recipe_folders}:
        problem = Problem("R122", where, key, f"the plugin '{plugin}' of the recipe '{name}' is not active",
                          f"install it, such as `pip install vlcli-{plugin}`; a file's name ends in .toml")  # fmt: skip
        raise RecipeError([problem])
    hint = hint or "see `vlcli recipes list`; a file's name ends in .toml"
    raise RecipeError([Problem("R110", where, key, f"no recipe is named '{name}'", hint)])


def locate_base(text: str, child: RecipeFile, registry: Registry, where: Origin, key: str) -> RecipeFile:
    """The recipe behind one entry of `extends`: `@plugin/name`, or a path relative to the file that names it.

    Raises:
        RecipeError: R110, R122, or R112 when the path is absolute, has another suffix or leaves the package.
    """
    if text.startswith("@"):
        return locate_shipped(text[1:], registry, where, key)
    path = Path(text)
    if not text.endswith(SUFFIX) or path.is_absolute() or text.startswith(("~", "\\")) or ":" in text or "\0" in text:
        problem = Problem("R112", where, key, f"'{text}' is not allowed",
                          "write @plugin/recipe, or a path relative to this file that ends in .toml")  # fmt: skip
        raise RecipeError([problem])
    target = child.path.parent / path
    if child.root is None:
        return RecipeFile(target, str(Path(child.label).parent / path))
    if not target.resolve().is_relative_to(child.root):
        problem = Problem("R112", where, key, f"'{text}' leaves the folder of the package's recipes",
                          "a shipped recipe extends its neighbours, or @plugin/recipe")  # fmt: skip
        raise RecipeError([problem])
    plugin = child.label.removeprefix("@").partition("/")[0]
    return RecipeFile(target, f"@{plugin}/{path.with_suffix('')}", child.root)
