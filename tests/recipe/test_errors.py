"""Every kind of mistake in a recipe, with the exact sentence that the user reads."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from vlcli.errors import ExitCode
from vlcli.recipe import RecipeError, load_recipe
from vlcli.registry import Registry

Check = Callable[..., list[str]]

# (what is replaced in the good recipe, by what, the sentence)
MISTAKES = {
    "unknown key, near a known one": (
        "lr = 1e-3", "lrr = 1e-3",
        "error[R101] clip.toml:22: optim.lrr: unknown key — did you mean 'lr'?",
    ),
    "unknown key, near none": (
        "lr = 1e-3", "zzz = 1",
        "error[R101] clip.toml:22: optim.zzz: unknown key — known: betas, eps, groups, lr, momentum, use, weight_decay",
    ),
    "unknown section": (
        "[optim]", "[optin]",
        "error[R101] clip.toml:21: optin: unknown key — did you mean 'optim' or 'train'?",
    ),
    "unknown key in an inline table": (
        "hidden = 128", "hiden = 128",
        "error[R101] clip.toml:12: towers.images.head.hiden: unknown key — did you mean 'hidden'?",
    ),
    "unknown key of a step": (
        'queries = ["a cat"]', 'queries = ["a cat"]\ntopp = 3',
        "error[R101] clip.toml:38: steps.find.topp: unknown key — did you mean 'top'?",
    ),
    "unknown option of a component": (
        "temperature = 0.1", "temperatur = 0.1",
        "error[R101] clip.toml:19: objective.temperatur: unknown key — did you mean 'temperature'?",
    ),
    "unknown option in an options table": (
        'pooling = "max"', 'poolin = "max"',
        "error[R101] clip.toml:11: towers.images.options.poolin: unknown key — did you mean 'pooling'?",
    ),
    "option for a component without options": (
        'use = "info-nce"', 'use = "siglip"',
        "error[R101] clip.toml:19: objective.temperature: unknown key — core/siglip takes no options",
    ),
    "string for a number": (
        "lr = 1e-3", 'lr = "fast"',
        'error[R102] clip.toml:22: optim.lr: expected a number, got "fast"',
    ),
    "number in quotes": (
        "seed = 3", 'seed = "3"',
        'error[R102] clip.toml:3: seed: expected a whole number, got "3"',
    ),
    "fraction for a whole number": (
        "micro_batch = 32", "batch_size = 2.5",
        "error[R102] clip.toml:26: train.batch_size: expected a whole number, got 2.5",
    ),
    "boolean for a number": (
        "lr = 1e-3", "lr = true",
        "error[R102] clip.toml:22: optim.lr: expected a number, got true",
    ),
    "neither number nor auto": (
        "micro_batch = 32", 'micro_batch = "aut"',
        'error[R102] clip.toml:26: train.micro_batch: expected a whole number of at least 1, or "auto", got "aut"',
    ),
    "string for an array": (
        'queries = ["a cat"]', 'queries = "a cat"',
        'error[R102] clip.toml:37: steps.find.queries: expected an array, got "a cat" — write ["a cat"]',
    ),
    "wrong element of an array": (
        'queries = ["a cat"]', 'queries = [\n  "a cat",\n  7,\n]',
        "error[R102] clip.toml:39: steps.find.queries[1]: expected a string, got 7",
    ),
    "value for a table": (
        "[train]\nepochs = 2\nmicro_batch = 32", "",
        "error[R103] clip.toml:1: train: missing table — a recipe that trains needs [train]",
    ),
    "table for a value": (
        "seed = 3", "seed = { a = 1 }",
        "error[R102] clip.toml:3: seed: expected a whole number, got a table",
    ),
    "wrong type of a component's option": (
        "temperature = 0.1", 'temperature = "warm"',
        'error[R102] clip.toml:19: objective.temperature: expected a number, got "warm"',
    ),
    "option with a union of types": (
        'pooling = "max"', 'size = "big"',
        'error[R102] clip.toml:11: towers.images.options.size: expected a whole number or an array, got "big"',
    ),
    "missing key": (
        'store = "@run/emoji"\n\n[steps.find]', "\n[steps.find]",
        "error[R103] clip.toml:28: steps.embed.store: missing key",
    ),
    "step without a verb": (
        'use = "search"\n', "",
        'error[R103] clip.toml:34: steps.find.use: missing key — write use = "embed" or "search" '
        'or "classify" or "eval" '
        'or "preview" or "report"',
    ),
    "unknown verb": (
        'use = "search"', 'use = "serch"',
        'error[R104] clip.toml:35: steps.find.use: expected "embed" or "search" or "classify" or '
        '"eval" or "preview" or '
        "\"report\", got \"serch\" — did you mean 'search'?",
    ),
    "word that is none of the choices": (
        'head = { use = "mlp"', 'head = { use = "mpl"',
        'error[R104] clip.toml:12: towers.images.head.use: expected "identity" or "centre" or "linear" or '
        '"mlp" or "refine", got "mpl" — did you '
        "mean 'mlp'?",
    ),
    "below the smallest value": (
        "micro_batch = 32", "batch_size = 0",
        "error[R104] clip.toml:26: train.batch_size: 0 is not allowed: it must be at least 1",
    ),
    "not a finite number": (
        "lr = 1e-3", "lr = nan",
        "error[R104] clip.toml:22: optim.lr: nan is not allowed: it must be finite",
    ),
    "device that is none": (
        "seed = 3", 'device = "gpu"',
        'error[R104] clip.toml:3: device: "gpu" is not allowed: it must match ^(auto|cpu|mps|cuda(:\\d+)?)$',
    ),
    "no value": (
        "lr = 1e-3", "lr =",
        "error[R105] clip.toml:22: is not valid TOML: invalid value at column 5",
    ),
    "key twice": (
        "lr = 1e-3", "lr = 1e-3\nlr = 2e-3",
        "error[R105] clip.toml:23: is not valid TOML: cannot overwrite a value at column 10",
    ),
    "array left open": (
        'queries = ["a cat"]', 'queries = ["a cat"',
        "error[R105] clip.toml:38: is not valid TOML: unclosed array at the end of the file",
    ),
    "epochs and steps": (
        "epochs = 2", "epochs = 2\nsteps = 100",
        "error[R114] clip.toml:26: train: 'epochs' and 'steps' exclude each other — give one of the two",
    ),
    "neither epochs nor steps": (
        "epochs = 2\n", "",
        "error[R114] clip.toml:24: train: needs 'epochs' or 'steps' — give one of the two",
    ),
    "store that no step made": (
        'use = "search"\nstore = "@run/emoji"', 'use = "search"\nstore = "@run/emojis"',
        "error[R114] clip.toml:36: steps.find.store: no earlier step makes '@run/emojis' — did you mean '@run/emoji'?",
    ),
    "search without a query": (
        'queries = ["a cat"]', "top = 3",
        "error[R114] clip.toml:34: steps.find: has nothing to search for — give queries or files",
    ),
    "unknown component": (
        'use = "info-nce"', 'use = "info-nec"',
        "error[R121] clip.toml:18: objective.use: no objective is named 'info-nec' — did you mean 'info-nce' or "
        "'core/info-nce'?",
    ),
    "ambiguous component": (
        'use = "info-nce"\ntemperature = 0.1', 'use = "twice"',
        "error[R121] clip.toml:18: objective.use: objective 'twice' is ambiguous — write core/twice or images/twice",
    ),
    "unknown data set in inputs": (
        '"data:images/emoji"', '"data:images/emojy"',
        "error[R121] clip.toml:30: steps.embed.inputs[0]: no dataset is named 'images/emojy' — did you mean "
        "'images/emoji'?",
    ),
    "unknown modality": (
        "[towers.text]", "[towers.txt]",
        "error[R121] clip.toml:14: towers.txt: no modality is named 'txt' — did you mean 'text'?",
    ),
    "missing plugin": (
        'use = "bert"', 'use = "speech/whisper"',
        "error[R122] clip.toml:15: towers.text.use: the plugin 'speech' of 'speech/whisper' is not "
        "active — install it, "
        "such as `pip install vlcli-speech`; `vlcli plugins list` shows what is active",
    ),
    "missing requirement": (
        '[objective]\nuse = "info-nce"\ntemperature = 0.1', '[method]\nuse = "needy"',
        "error[R122] clip.toml:18: method.use: 'images/needy' needs no-such-distribution-on-earth — install it: pip "
        "install no-such-distribution-on-earth",
    ),
    "encoder of another modality": (
        'use = "bert"', 'use = "net"',
        "error[R123] clip.toml:15: towers.text.use: the encoder 'images/net' is of modality 'images', not 'text' — "
        "encoders of 'text': text/bert",
    ),
}  # fmt: skip


def test_good_recipe_has_no_problem(problems: Check, good: str) -> None:
    assert problems(good) == []


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake(problems: Check, good: str, name: str) -> None:
    before, after, sentence = MISTAKES[name]
    assert good.count(before) == 1
    found = problems(good.replace(before, after))
    assert sentence in found
    # A mistake is told once, and what follows from it (a section that is missing under its right name) is all there is.
    assert len(found) <= 2


OVERRIDES = {
    "no value": (["optim.lr"], [], "error[R131] --set optim.lr: has no '=' — write --set key=value"),
    "no key": (
        ["=3"], [], "error[R131] --set =3: '' is not a key — write it as table.key, such as optim.lr",
    ),
    "broken array": (
        ["steps.find.queries=[1"], [],
        "error[R131] --set steps.find.queries=[1: steps.find.queries: the value [1 is not valid "
        "TOML — check its quotes "
        "and brackets, and quote the whole argument for the shell",
    ),
    "two lines": (
        ["seed=1\nname='x'"], [],
        "error[R102] --set seed=1\nname='x': seed: expected a whole number, got \"1�name='x'\"",
    ),
    "unknown key": (
        ["optim.lrr=1"], [], "error[R101] --set optim.lrr=1: optim.lrr: unknown key — did you mean 'lr'?",
    ),
    "wrong type": (
        ["optim.lr=fast"], [], 'error[R102] --set optim.lr=fast: optim.lr: expected a number, got "fast"',
    ),
    "through a value": (
        ["seed.x=1"], [], "error[R132] --set seed.x=1: seed.x: 'seed' is not a table",
    ),
    "through an array": (
        ["steps.find.queries.x=1"], [],
        "error[R132] --set steps.find.queries.x=1: steps.find.queries.x: 'steps.find.queries' is "
        "an array; give it whole",
    ),
    "unset what is not set": (
        [], ["optim.lrr"],
        "error[R132] --unset optim.lrr: optim.lrr: is not set, so it can not be unset — did you mean 'optim.lr'?",
    ),
    "unset what is needed": (
        [], ["steps.find.store"], "error[R103] clip.toml:34: steps.find.store: missing key",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OVERRIDES)
def test_override_mistake(problems: Check, good: str, name: str) -> None:
    sets, unsets, sentence = OVERRIDES[name]
    assert problems(good, *sets, unset=tuple(unsets)) == [sentence]


def test_all_mistakes_are_told_in_the_order_of_their_lines(problems: Check, good: str) -> None:
    text = good.replace("lr = 1e-3", "lrr = 1").replace("seed = 3", 'seed = "a"')
    text = text.replace('use = "embed"', 'use = "embde"')
    found = problems(text, "train.epoks=1")
    places = [line.split("] ")[1].split(": ")[0] for line in found]
    assert places == ["clip.toml:3", "clip.toml:22", "clip.toml:29", "--set train.epoks=1"]


def test_error_has_usage_exit_code_and_all_lines(
    folder: object, registry: Registry, good: str, problems: Check
) -> None:
    problems(good.replace("lr = 1e-3", "lrr = 1\nmomentumm = 2"))
    with pytest.raises(RecipeError) as caught:
        load_recipe("clip.toml", registry)
    assert caught.value.exit_code == ExitCode.USAGE
    assert str(caught.value).count("error[R101]") == 2
    assert caught.value.code == "R101" and caught.value.where == "clip.toml:22"


def test_many_mistakes_are_cut_short(problems: Check, registry: Registry, folder: object) -> None:
    problems("schema = 1\n" + "".join(f"key{number} = 1\n" for number in range(80)))
    with pytest.raises(RecipeError) as caught:
        load_recipe("clip.toml", registry)
    lines = str(caught.value).splitlines()
    assert len(lines) == 51 and lines[-1] == "… and 31 more problems"


def test_nothing_to_do(problems: Check) -> None:
    sentence = "error[R114] clip.toml:1: has nothing to do — add [steps.NAME], or [method] or [objective] with [train]"
    assert problems("schema = 1\n") == [sentence]


def test_schema_is_required_and_known(problems: Check) -> None:
    assert problems("name = 'x'\n") == ["error[R103] clip.toml:1: schema: missing key — write schema = 1"]
    assert problems("\nschema = 2\n") == [
        "error[R104] clip.toml:2: schema: this vlcli reads schema 1, not 2 — update vlcli if the recipe is newer"
    ]
    assert problems("schema = true\n")[0].startswith("error[R104] clip.toml:1: schema:")


def test_own_files_take_the_options_of_own_files(problems: Check, good: str) -> None:
    text = good.replace('use = "images/emoji"\noptions = { languages = ["en", "de"] }', 'use = "./mine.csv"')
    assert problems(text) == []
    assert problems(text, "data.options.caption_column=words") == []
    assert problems(text, "data.options.caption_colum=words") == [
        "error[R101] --set data.options.caption_colum=words: data.options.caption_colum: unknown key — did you mean "
        "'caption_column' or 'path_column' or 'split_column'?"
    ]


def test_space_of_the_run_needs_training(problems: Check) -> None:
    text = 'schema = 1\n[steps.e]\nuse = "embed"\ninputs = ["a"]\nstore = "s"\nspace = "@run/space"\n'
    assert problems(text) == [
        "error[R114] clip.toml:6: steps.e.space: '@run/space' would come from training, and this "
        "recipe does not train — "
        "name a space, such as images/starter"
    ]


CLAIM = """
[claim]
text = "A warm objective is better"
metric = "t2i/recall@1"
seeds = [1, 2]

[claim.arms.warm]
objective.temperature = 1.0

[claim.arms.cold]

[[claim.conditions]]
text = "warm beats cold"
arm = "warm"
than = "cold"

[claim.negative_control]
text = "shuffled pairs"
arm = "cold"
"""


def test_claim_passes(problems: Check, good: str) -> None:
    assert problems(good + CLAIM) == []


def test_arms_of_a_claim_are_checked_as_recipes(problems: Check, good: str) -> None:
    found = problems(good + CLAIM.replace("temperature", "temperatur"))
    assert found == [
        "error[R101] clip.toml:45: claim.arms.warm.objective.temperatur: unknown key — did you mean 'temperature'?"
    ]


def test_conditions_of_a_claim_name_arms_that_exist(problems: Check, good: str) -> None:
    text = good + CLAIM.replace('than = "cold"', 'than = "colt"\nvalue = 0.5')
    assert problems(text) == [
        "error[R114] clip.toml:49: claim.conditions[0]: needs 'than' or 'value', not both — "
        "compare the arm with another "
        "arm, or with a number",
        "error[R104] clip.toml:52: claim.conditions[0].than: no arm is named 'colt' — did you mean 'cold'?",
    ]
