"""The checks of a merged recipe: schema, components, and what keys demand of each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from vlcli.errors import did_you_mean
from vlcli.recipe.components import check_components, tables
from vlcli.recipe.document import Layer
from vlcli.recipe.merge import merge
from vlcli.recipe.problems import KeyPath, Problem, show_key, show_value
from vlcli.recipe.schema import RUN_PREFIX, STEPS, Recipe, Step
from vlcli.recipe.validate import validate

if TYPE_CHECKING:
    from vlcli.registry import Registry


def check_recipe(layer: Layer, registry: Registry) -> tuple[Recipe | None, list[Problem]]:
    """The recipe, or None and everything that is wrong with it, in the order of its lines."""
    model, problems = check_schema(layer)
    problems += check_components(layer, registry)
    problems += check_relations(layer)
    problems += check_claim(layer, registry, set(problems))
    unique = list(dict.fromkeys(problems))
    return (None if unique else model), unique


def check_schema(layer: Layer) -> tuple[Recipe | None, list[Problem]]:
    """The recipe as typed sections, its steps as the models of their verbs."""
    values = {key: value for key, value in layer.values.items() if key != "steps"}
    recipe, problems = validate(Recipe, values, (), layer)
    steps: dict[str, Step] = {}
    given = layer.values.get("steps", {})
    if not isinstance(given, dict):
        message = f"expected a table, got {show_value(given)}"
        return None, [*problems, Problem("R102", layer.origin(("steps",)), "steps", message, "write [steps.NAME]")]
    for name, table in given.items():
        step, found = check_step(layer, ("steps", name), table)
        problems += found
        if step is not None:
            steps[name] = step
    return (None if problems or recipe is None else recipe.model_copy(update={"steps": steps})), problems


def check_step(layer: Layer, path: KeyPath, table: Any) -> tuple[Step | None, list[Problem]]:
    """One step against the model of its verb."""
    where, key = layer.origin(path), show_key(path)
    if not isinstance(table, dict):
        return None, [Problem("R102", where, key, f"expected a table, got {show_value(table)}")]
    use = table.get("use")
    choices = " or ".join(f'"{word}"' for word in STEPS)
    if use is None:
        return None, [Problem("R103", where, f"{key}.use", "missing key", f"write use = {choices}")]
    if not isinstance(use, str) or use not in STEPS:
        hint = did_you_mean(use, list(STEPS)) if isinstance(use, str) else ""
        message = f"expected {choices}, got {show_value(use)}"
        return None, [Problem("R104", layer.origin((*path, "use")), f"{key}.use", message, hint)]
    return validate(STEPS[use], table, path, layer)


def check_relations(layer: Layer) -> Iterator[Problem]:
    """Keys that exclude or require each other."""
    values = layer.values
    top = layer.origin(())
    trains = "method" in values or "objective" in values
    if not trains and not values.get("steps"):
        yield Problem("R114", top, "", "has nothing to do", "add [steps.NAME], or [method] or [objective] with [train]")
    if trains:
        for section in ("data", "train"):
            if section not in values:
                yield Problem("R103", top, section, "missing table", f"a recipe that trains needs [{section}]")
        if "objective" in values and "method" not in values and not values.get("towers"):
            yield Problem("R103", top, "towers", "missing table", "an objective needs [towers.MODALITY] to train")
    train = values.get("train")
    if isinstance(train, dict) and ("epochs" in train) == ("steps" in train):
        if "epochs" in train:
            message = "'epochs' and 'steps' exclude each other"
        else:
            message = "needs 'epochs' or 'steps'"
        yield Problem("R114", layer.origin(("train", "steps")), "train", message, "give one of the two")
    yield from check_order(layer, trains)
    for name, step in tables(values.get("steps")):
        if step.get("use") == "search" and not step.get("queries") and not step.get("files"):
            at: KeyPath = ("steps", name)
            yield Problem("R114", layer.origin(at), show_key(at), "has nothing to search for", "give queries or files")


def check_order(layer: Layer, trains: bool) -> Iterator[Problem]:
    """`@run/NAME` has to be made by the training or by an earlier step."""
    made: list[str] = []
    for name, step in tables(layer.values.get("steps")):
        store, space = step.get("store"), step.get("space")
        path: KeyPath = ("steps", name)
        if isinstance(space, str) and space.startswith(RUN_PREFIX) and not trains:
            yield Problem("R114", layer.origin((*path, "space")), show_key((*path, "space")),
                          f"'{space}' would come from training, and this recipe does not train",
                          "name a space, such as images/starter")  # fmt: skip
        if not isinstance(store, str) or not store.startswith(RUN_PREFIX):
            continue
        # A misspelt verb is told by itself; what would follow from it is not.
        if step.get("use") == "embed" or step.get("use") not in STEPS:
            made.append(store)
        elif store not in made:
            hint = did_you_mean(store, made) or "an embed step before it has to make that store"
            yield Problem("R114", layer.origin((*path, "store")), show_key((*path, "store")),
                          f"no earlier step makes '{store}'", hint)  # fmt: skip


def check_claim(layer: Layer, registry: Registry, known: set[Problem]) -> Iterator[Problem]:
    """Each arm of a claim, laid over the recipe, has to be a recipe; conditions have to name arms that exist."""
    claim = layer.values.get("claim")
    if not isinstance(claim, dict):
        return
    arms = dict(tables(claim.get("arms")))
    for name in arms:
        for problem in check_recipe(arm_layer(layer, name), registry)[1]:
            if problem not in known:
                key = ".".join(filter(None, (f"claim.arms.{name}", problem.key)))
                yield Problem(problem.code, problem.where, key, problem.message, problem.help)
    conditions = claim.get("conditions")
    for index, condition in enumerate(conditions if isinstance(conditions, list) else []):
        if not isinstance(condition, dict):
            continue
        path: KeyPath = ("claim", "conditions", index)
        yield from check_arms(layer, path, condition, list(arms))
        if ("than" in condition) == ("value" in condition):
            yield Problem("R114", layer.origin(path), show_key(path), "needs 'than' or 'value', not both",
                          "compare the arm with another arm, or with a number")  # fmt: skip
    control = claim.get("negative_control")
    if isinstance(control, dict):
        yield from check_arms(layer, ("claim", "negative_control"), control, list(arms))


def check_arms(layer: Layer, path: KeyPath, table: dict[str, Any], arms: list[str]) -> Iterator[Problem]:
    """The arms that a condition or the negative control names."""
    for key in ("arm", "than"):
        name = table.get(key)
        if isinstance(name, str) and name not in arms:
            hint = did_you_mean(name, arms) or f"arms: {', '.join(arms)}"
            yield Problem("R104", layer.origin((*path, key)), show_key((*path, key)), f"no arm is named '{name}'", hint)


def arm_layer(layer: Layer, name: str) -> Layer:
    """The recipe of one arm of the claim: the arm's tables laid over the rest."""
    prefix: KeyPath = ("claim", "arms", name)
    base = Layer(
        {key: value for key, value in layer.values.items() if key != "claim"},
        {path: origin for path, origin in layer.origins.items() if path[:1] != ("claim",)},
    )
    size = len(prefix)
    origins = {
        path[size:]: origin for path, origin in layer.origins.items() if path[:size] == prefix and path != prefix
    }
    return merge(base, Layer(layer.values["claim"]["arms"][name], origins))
