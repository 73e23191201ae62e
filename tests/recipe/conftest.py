"""A registry of components whose options are torch-free models, and a way to write recipes and read their problems."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict

from vlcli.api import (
    DatasetSpec,
    EncoderSpec,
    FilterSpec,
    MethodSpec,
    ModalitySpec,
    ObjectiveSpec,
    RecipeFolderSpec,
    SpaceSpec,
)  # fmt: skip
from vlcli.recipe import RecipeError, load_recipe
from vlcli.registry import Registry

PARTS = "recipe_test_parts"
MISSING = f"{PARTS}:there_is_no_implementation"


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class InfoNceOptions(Options):
    temperature: float = 0.07
    symmetric: bool = True


class NetOptions(Options):
    pooling: Literal["avg", "max"] = "avg"
    size: int | list[int] = 224


class EmojiOptions(Options):
    languages: list[str] = ["en"]


@pytest.fixture
def registry() -> Iterator[Registry]:
    """Modalities images and text with an encoder each, objectives, a method, a data set, a filter, a space.

    No target can be imported: whoever checks a recipe must not try.
    """
    module = types.ModuleType(PARTS)
    for model in (InfoNceOptions, NetOptions, EmojiOptions):
        setattr(module, model.__name__, model)
    sys.modules[PARTS] = module
    found = Registry()
    found.add("images", "modality", ModalitySpec(name="images", summary="", target=MISSING, extensions=(".png",)))
    found.add("text", "modality", ModalitySpec(name="text", summary="", target=MISSING))
    net, nce = f"{PARTS}:NetOptions", f"{PARTS}:InfoNceOptions"
    found.add("images", "encoder", EncoderSpec(name="net", summary="", target=MISSING, options=net, modality="images"))
    found.add("text", "encoder", EncoderSpec(name="bert", summary="", target=MISSING, modality="text"))
    found.add("core", "objective", ObjectiveSpec(name="info-nce", summary="", target=MISSING, options=nce))
    found.add("core", "objective", ObjectiveSpec(name="siglip", summary="", target=MISSING))
    found.add("core", "objective", ObjectiveSpec(name="twice", summary="", target=MISSING))
    found.add("images", "objective", ObjectiveSpec(name="twice", summary="", target=MISSING))
    found.add("core", "method", MethodSpec(name="mod-x", summary="", target=MISSING))
    needs = ("no-such-distribution-on-earth",)
    found.add("images", "method", MethodSpec(name="needy", summary="", target=MISSING, requires=needs))
    emoji = f"{PARTS}:EmojiOptions"
    found.add("images", "dataset", DatasetSpec(name="emoji", summary="", target=MISSING, options=emoji))
    found.add("images", "filter", FilterSpec(name="large", summary="", target=MISSING))
    found.add("images", "space", SpaceSpec(name="starter", summary="", target=MISSING, modalities=("images", "text")))
    found.recipe_folders.append(("core", RecipeFolderSpec(package="vlcli", folder="recipes")))
    yield found
    del sys.modules[PARTS]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is also the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def problems(folder: Path, registry: Registry) -> Callable[..., list[str]]:
    """`problems(text, *overrides, unset=())` writes `clip.toml`, loads it, and gives the lines of what is wrong."""

    def check(text: str, *overrides: str, unset: tuple[str, ...] = ()) -> list[str]:
        (folder / "clip.toml").write_text(text, encoding="utf-8")
        try:
            load_recipe("clip.toml", registry, overrides, unset)
        except RecipeError as error:
            return [str(problem) for problem in error.problems]
        return []

    return check


GOOD = """\
schema = 1
summary = "Align a head"
seed = 3

[data]
use = "images/emoji"
options = { languages = ["en", "de"] }

[towers.images]
use = "images/net"
options = { pooling = "max" }
head = { use = "mlp", dim = 64, hidden = 128 }

[towers.text]
use = "bert"

[objective]
use = "info-nce"
temperature = 0.1

[optim]
lr = 1e-3

[train]
epochs = 2
micro_batch = 32

[steps.embed]
use = "embed"
inputs = ["data:images/emoji"]
space = "@run/space"
store = "@run/emoji"

[steps.find]
use = "search"
store = "@run/emoji"
queries = ["a cat"]
"""


@pytest.fixture
def good() -> str:
    """A recipe that trains and then searches, without a fault; the line numbers in tests refer to it."""
    return GOOD
