"""What merging, overriding and unsetting keep, and where each key says it comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlcli.recipe import RecipeError, load_recipe
from vlcli.recipe.document import Layer
from vlcli.recipe.merge import apply_set, apply_unset, merge, parse_override
from vlcli.recipe.problems import KeyPath, Origin
from vlcli.recipe.render import toml_key, toml_value
from vlcli.registry import Registry

keys = st.sampled_from(["a", "b", "c", "d e", "ü"])
leaves = st.one_of(st.integers(-5, 5), st.booleans(), st.text(max_size=4), st.lists(st.integers(0, 3), max_size=3))
nested = st.recursive(leaves, lambda inner: st.dictionaries(keys, inner, max_size=3), max_leaves=6)
trees = st.dictionaries(keys, nested, max_size=4)


def layer(values: dict[str, Any], source: str) -> Layer:
    """A layer whose keys all come from `source`."""
    return Layer(values, {path: Origin(source) for path in paths(values)})


def paths(values: dict[str, Any], prefix: KeyPath = ()) -> list[KeyPath]:
    """All keys and tables."""
    found: list[KeyPath] = []
    for key, value in values.items():
        found.append((*prefix, key))
        if isinstance(value, dict):
            found += paths(value, (*prefix, key))
    return found


def at(values: Any, path: KeyPath) -> Any:
    for part in path:
        values = values[part]
    return values


@given(trees)
def test_empty_layer_changes_nothing(values: dict[str, Any]) -> None:
    assert merge(layer(values, "x"), Layer()).values == values
    assert merge(Layer(), layer(values, "x")).values == values
    assert merge(layer(values, "x"), layer(values, "y")).values == values


@given(trees, trees, trees)
def test_merging_without_components_is_associative(a: dict[str, Any], b: dict[str, Any], c: dict[str, Any]) -> None:
    one, two, three = layer(a, "a"), layer(b, "b"), layer(c, "c")
    left, right = merge(merge(one, two), three), merge(one, merge(two, three))
    # A value between two tables parts them when merged from the left, so only then do the two ways differ.
    if not any(isinstance(at_or_none(a, path), dict) != isinstance(value, dict) and at_or_none(a, path) is not None
               for path in paths(b) for value in [at(b, path)]):  # fmt: skip
        assert left.values == right.values


def at_or_none(values: Any, path: KeyPath) -> Any:
    for part in path:
        if not isinstance(values, dict) or part not in values:
            return None
        values = values[part]
    return values


@given(trees, trees)
def test_every_key_has_the_origin_that_holds_its_value(a: dict[str, Any], b: dict[str, Any]) -> None:
    before_a, before_b = toml_value(a), toml_value(b)
    merged = merge(layer(a, "a"), layer(b, "b"))
    assert (toml_value(a), toml_value(b)) == (before_a, before_b)
    assert set(merged.origins) == set(paths(merged.values))
    for path in paths(merged.values):
        value = at(merged.values, path)
        if not isinstance(value, dict):
            assert at({"a": a, "b": b}[merged.origins[path].source], path) == value
    for path in paths(b):
        if not isinstance(at(b, path), dict):
            assert at(merged.values, path) == at(b, path)


@given(trees, keys, leaves)
def test_set_then_unset(values: dict[str, Any], key: str, value: Any) -> None:
    changed = apply_set(layer(values, "x"), f"{toml_key(key)}={toml_value(value)}")
    assert changed.values == {**values, key: value}
    assert changed.origins[(key,)].source.startswith("--set ")
    removed = apply_unset(changed, toml_key(key))
    assert removed.values == {name: item for name, item in values.items() if name != key}
    assert set(removed.origins) == set(paths(removed.values))


@pytest.mark.parametrize(
    ("text", "names", "value"),
    [
        ("optim.lr=1e-3", ("optim", "lr"), 1e-3),
        ("a = true", ("a",), True),
        ("a=word", ("a",), "word"),
        ("a=~/My Pictures", ("a",), "~/My Pictures"),
        ("a=images/starter", ("a",), "images/starter"),
        ("a=hf:owner/name", ("a",), "hf:owner/name"),
        ("a=", ("a",), ""),
        ('a="1"', ("a",), "1"),
        ('a=["x", 2]', ("a",), ["x", 2]),
        ("a={b = 1}", ("a",), {"b": 1}),
        ('optim.groups."*.bias".lr=0.5', ("optim", "groups", "*.bias", "lr"), 0.5),
        ("a=b=c", ("a",), "b=c"),
        ("a=1\nb=2", ("a",), "1\nb=2"),
    ],
)
def test_override_values(text: str, names: tuple[str, ...], value: Any) -> None:
    assert parse_override(text) == (names, value)


def test_new_use_drops_old_options() -> None:
    base = layer({"objective": {"use": "info-nce", "temperature": 0.1}, "optim": {"use": "adamw", "lr": 1}}, "base")
    same = merge(base, layer({"objective": {"use": "info-nce"}}, "top"))
    assert same.values["objective"] == {"use": "info-nce", "temperature": 0.1}
    other = merge(base, layer({"objective": {"use": "siglip", "bias": 1}}, "top"))
    assert other.values["objective"] == {"use": "siglip", "bias": 1}
    assert ("objective", "temperature") not in other.origins
    assert other.values["optim"] == {"use": "adamw", "lr": 1}
    by_set = apply_set(base, "objective.use=siglip")
    assert by_set.values["objective"] == {"use": "siglip"}


def test_new_encoder_keeps_the_head() -> None:
    tower = {"use": "images/net", "options": {"pooling": "max"}, "trainable": ["layer4.*"], "head": {"use": "mlp"}}
    changed = apply_set(layer({"towers": {"images": tower}}, "base"), "towers.images.use=images/other")
    assert changed.values["towers"]["images"] == {"use": "images/other", "head": {"use": "mlp"}}


def write(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("schema = 1\n" + text, encoding="utf-8")


def test_files_merge_with_provenance(folder: Path, registry: Registry) -> None:
    write(folder, "base.toml", 'name = "base"\nsummary = "x"\nseed = 1\n[steps.e]\nuse = "embed"\ninputs = ["a", "b"]\n'
          'store = "s"\nbatch_size = 8\n')  # fmt: skip
    write(folder, "deep/more.toml", 'extends = ["../base.toml"]\nseed = 2\n')
    write(folder, "clip.toml", 'extends = ["deep/more.toml"]\n[steps.e]\ninputs = ["c"]\n')
    recipe = load_recipe("clip.toml", registry, ["steps.e.batch_size=4"])
    step = recipe.model.steps["e"]
    assert (recipe.name, recipe.model.summary, recipe.model.seed) == ("clip", "", 2)
    assert (step.inputs, step.store, step.batch_size, step.verify) == (("c",), "s", 4, False)
    places = {key: str(recipe.origin(key)) for key in [("seed",), ("steps", "e", "store"), ("steps", "e", "inputs"),
              ("steps", "e", "batch_size"), ("steps", "e", "verify"), ("steps", "e")]}  # fmt: skip
    assert places == {
        ("seed",): "deep/more.toml:3", ("steps", "e", "store"): "deep/../base.toml:8",
        ("steps", "e", "inputs"): "clip.toml:4", ("steps", "e", "batch_size"): "--set steps.e.batch_size=4",
        ("steps", "e", "verify"): "default", ("steps", "e"): "deep/../base.toml:5",
    }  # fmt: skip
    assert [file.label for file in recipe.files] == ["deep/../base.toml", "deep/more.toml", "clip.toml"]


def test_later_base_wins_and_steps_keep_their_order(folder: Path, registry: Registry) -> None:
    step = '[steps.{}]\nuse = "embed"\ninputs = ["a"]\nstore = "s"\n'
    write(folder, "one.toml", "seed = 1\n" + step.format("z") + step.format("y"))
    write(folder, "two.toml", "seed = 2\n" + step.format("a"))
    write(folder, "clip.toml", 'extends = ["one.toml", "two.toml"]\n' + step.format("b"))
    recipe = load_recipe("clip.toml", registry)
    assert recipe.model.seed == 2
    assert list(recipe.model.steps) == ["z", "y", "a", "b"]
    assert list(load_recipe("clip.toml", registry, unsets=["steps.y"]).model.steps) == ["z", "a", "b"]


def test_error_in_a_base_names_the_base(folder: Path, registry: Registry) -> None:
    write(folder, "base.toml", '[steps.e]\nuse = "embed"\ninputs = ["a"]\nstore = 3\n')
    write(folder, "clip.toml", 'extends = ["base.toml"]\n')
    with pytest.raises(RecipeError) as caught:
        load_recipe("clip.toml", registry)
    assert str(caught.value) == "error[R102] base.toml:5: steps.e.store: expected a string, got 3"


def test_hash_follows_what_is_computed(folder: Path, registry: Registry, good: str) -> None:
    (folder / "clip.toml").write_text(good)
    base = load_recipe("clip.toml", registry)
    assert load_recipe("clip.toml", registry, ["device=cpu", "threads=1", "summary=other"]).hash == base.hash
    assert load_recipe("clip.toml", registry, ["optim.lr=2e-3"]).hash != base.hash
    # A default written out is the same recipe.
    assert load_recipe("clip.toml", registry, ["optim.use=adamw"]).hash == base.hash
