"""Names, paths and `extends`: what is found, and what is refused."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

import pytest

from vlcli.api import RecipeFolderSpec
from vlcli.plugins import load_plugins
from vlcli.recipe import RecipeError, load_recipe, shipped_recipes
from vlcli.recipe import find as finding
from vlcli.registry import Registry

STEP = '[steps.e]\nuse = "embed"\ninputs = ["a"]\nstore = "s"\n'


def refused(name: str, registry: Registry) -> str:
    with pytest.raises(RecipeError) as caught:
        load_recipe(name, registry)
    return str(caught.value)


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("schema = 1\n" + text)


@pytest.fixture
def shipped(folder: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The recipe folder of a package `packaged_recipes`, registered by the plugin `images`."""
    (folder / "packaged_recipes").mkdir()
    (folder / "packaged_recipes" / "__init__.py").write_text("raise RuntimeError('a check must not import this')\n")
    monkeypatch.syspath_prepend(str(folder))
    registry.recipe_folders.append(("images", RecipeFolderSpec(package="packaged_recipes", folder="recipes")))
    return folder / "packaged_recipes" / "recipes"


def test_every_shipped_recipe_checks() -> None:
    registry = load_plugins().registry
    names = shipped_recipes(registry)
    assert {"core/demo", "core/search-my-pictures", "core/evaluate-my-captions"} <= set(names)
    for name, file in names.items():
        recipe = load_recipe(name, registry)
        assert recipe.name == file.name, name
        assert recipe.model.summary, name


def test_names_short_full_and_ambiguous(shipped: Path, registry: Registry) -> None:
    write(shipped / "align.toml", STEP)
    write(shipped / "_base.toml", STEP)
    assert load_recipe("align", registry).files[-1].label == "@images/align"
    assert load_recipe("@images/align", registry).name == load_recipe("images/align", registry).name == "align"
    assert "images/_base" not in shipped_recipes(registry)
    assert refused("alin", registry).startswith("error[R110] alin: no recipe is named 'alin' — did you mean 'align'")
    assert refused("speech/align-it", registry) == (
        "error[R122] speech/align-it: the plugin 'speech' of the recipe 'speech/align-it' is not "
        "active — install it, such "
        "as `pip install vlcli-speech`; a file's name ends in .toml"
    )
    write(shipped / "demo.toml", STEP)
    assert refused("demo", registry) == (
        "error[R110] demo: the recipe 'demo' is ambiguous — write core/demo or images/demo"
    )
    assert "packaged_recipes" not in sys.modules


def test_recipes_beside_a_checkout_and_inside_a_wheel(folder: Path, registry: Registry,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    own = importlib.util.find_spec("vlcli")
    assert own is not None and own.submodule_search_locations
    checkout = Path(own.submodule_search_locations[0]).parent / "recipes"
    if checkout.is_dir():
        assert finding.recipe_folders(registry) == [("core", checkout.resolve())]
        shutil.copytree(checkout, folder / "site" / "vlcli" / "recipes")
    monkeypatch.setattr(finding, "package_folders", lambda package: [folder / "site" / package])
    assert finding.recipe_folders(registry) == [("core", (folder / "site" / "vlcli" / "recipes").resolve())]
    assert "core/demo" in shipped_recipes(registry)


def test_circle_of_extends(folder: Path, registry: Registry) -> None:
    write(folder / "a.toml", 'extends = ["b.toml"]\n')
    write(folder / "b.toml", 'extends = [\n  "sub/../a.toml",\n]\n')
    (folder / "sub").mkdir()
    assert refused("a.toml", registry) == (
        "error[R111] b.toml:3: extends[0]: goes in a circle: a.toml → b.toml → sub/../a.toml — take one of them out"
    )
    write(folder / "self.toml", 'extends = ["self.toml"]\n')
    assert "error[R111] self.toml:2: extends[0]: goes in a circle: self.toml → self.toml" in refused(
        "self.toml", registry
    )


def test_the_same_base_twice_is_no_circle(folder: Path, registry: Registry) -> None:
    write(folder / "base.toml", STEP)
    write(folder / "a.toml", 'extends = ["base.toml"]\nseed = 5\n')
    write(folder / "b.toml", 'extends = ["a.toml", "base.toml"]\n')
    assert load_recipe("b.toml", registry).model.seed == 5


def test_deep_and_wide_extends(folder: Path, registry: Registry) -> None:
    for number in range(20):
        write(folder / f"deep{number}.toml", f'extends = ["deep{number + 1}.toml"]\n')
    write(folder / "deep20.toml", STEP)
    assert "error[R112] deep15.toml:2: extends[0]: is more than 16 files deep" in refused("deep0.toml", registry)
    for number in range(12):
        base = f'"wide{number + 1}.toml"'
        write(folder / f"wide{number}.toml", f"extends = [{base}, {base}, {base}]\n")
    write(folder / "wide12.toml", STEP)
    assert "reads more than 64 files" in refused("wide0.toml", registry)


@pytest.mark.parametrize(
    "base",
    ["/etc/passwd", "/etc/base.toml", "~/base.toml", "https://host/base.toml", "base", "base.json", "a\\u0000.toml"],
)
def test_extends_that_is_not_allowed(folder: Path, registry: Registry, base: str) -> None:
    write(folder / "clip.toml", f'extends = ["{base}"]\n' + STEP)
    assert refused("clip.toml", registry).startswith("error[R112] clip.toml:2: extends[0]: '")


def test_extends_that_is_not_there(folder: Path, registry: Registry) -> None:
    write(folder / "clip.toml", 'extends = ["bas.toml"]\n' + STEP)
    assert refused("clip.toml", registry) == (
        "error[R106] clip.toml:2: extends[0]: there is no file 'bas.toml' — the path is relative "
        "to the file that names it"
    )
    write(folder / "clip.toml", "extends = [3]\n" + STEP)
    assert refused("clip.toml", registry).startswith("error[R102] clip.toml:2: extends: expected an array of strings")


def test_shipped_recipe_stays_in_its_folder(shipped: Path, registry: Registry, folder: Path) -> None:
    write(shipped / "_base.toml", STEP)
    write(shipped / "good.toml", 'extends = ["_base.toml"]\n')
    assert [file.label for file in load_recipe("good", registry).files] == ["@images/_base", "@images/good"]
    write(folder / "secret.toml", STEP)
    write(shipped / "bad.toml", 'extends = ["../../secret.toml"]\n')
    assert "'../../secret.toml' leaves the folder of the package's recipes" in refused("bad", registry)
    (shipped / "_link.toml").symlink_to(folder / "secret.toml")
    write(shipped / "worse.toml", 'extends = ["_link.toml"]\n')
    assert "leaves the folder" in refused("worse", registry)


def test_errors_do_not_quote_a_file_that_is_no_recipe(folder: Path, registry: Registry) -> None:
    (folder / "secret.toml").write_text("password hunter2\n")
    write(folder / "clip.toml", 'extends = ["secret.toml"]\n')
    text = refused("clip.toml", registry)
    assert text.startswith("error[R105] secret.toml:1:") and "hunter2" not in text


def test_user_extends_a_shipped_recipe(shipped: Path, registry: Registry, folder: Path) -> None:
    write(shipped / "align.toml", "seed = 4\n" + STEP)
    write(folder / "mine.toml", 'extends = ["@images/align"]\n')
    recipe = load_recipe("mine.toml", registry)
    assert (recipe.model.seed, str(recipe.origin(("seed",)))) == (4, "@images/align:2")
