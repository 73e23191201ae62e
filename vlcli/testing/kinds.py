"""Contract checks for objectives, methods, data sets, metrics, commands, recipes, generators and codecs.

A plugin's own tests call them. Each raises `AssertionError` with a sentence that names what is broken.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import typer
    from torch import Tensor, nn

    from vlcli.align.protocols import Codec, Generator
    from vlcli.data import Dataset
    from vlcli.registry import Registry


def check_objective(objective: nn.Module, *, pairs: int = 12, dim: int = 16) -> None:
    """A contrastive objective: `objective(x, y, scale, ids=…)` with unit rows `[B, D]` gives a scalar loss.

    It must be finite, give gradients to both sides and the scale, be lower for matching than for shuffled pairs, and
    not depend on the order of the pairs.
    """
    import torch
    from torch.nn import functional

    random = torch.Generator().manual_seed(0)
    base = torch.randn(pairs, dim, generator=random)
    x = functional.normalize(base, dim=1).requires_grad_()
    y = functional.normalize(base + 0.05 * torch.randn(pairs, dim, generator=random), dim=1).requires_grad_()
    scale = torch.tensor(10.0, requires_grad=True)
    ids = torch.arange(pairs)
    loss = objective(x, y, scale, ids=ids)
    assert isinstance(loss, torch.Tensor) and loss.ndim == 0, "an objective gives a scalar tensor"
    assert bool(torch.isfinite(loss)), f"the loss of well-formed pairs is {loss.item()}"
    loss.backward()  # type: ignore[no-untyped-call]
    for name, value in (("first", x), ("second", y)):
        gradient = value.grad
        assert gradient is not None and bool(torch.isfinite(gradient).all()), f"no finite gradient to the {name} side"
        assert float(gradient.abs().sum()) > 0, f"the gradient to the {name} side is zero"
    with torch.no_grad():
        shuffled = objective(x, y.roll(1, dims=0), scale, ids=ids)
        assert loss.item() < shuffled.item(), "matching pairs must have a lower loss than shuffled ones"
        order = torch.randperm(pairs, generator=random)
        permuted = objective(x[order], y[order], scale, ids=ids[order])
        assert math.isclose(loss.item(), permuted.item(), rel_tol=1e-4, abs_tol=1e-6), "the order of pairs matters"


def check_recipe(name: str, registry: Registry) -> None:
    """A recipe loads and everything that it names exists and accepts its options; nothing is run."""
    from vlcli.plugin_tools.recipes import recipe_problems

    problem = recipe_problems(name, registry)
    assert not problem, problem


def check_method(recipe: str, registry: Registry, folder: Path, overrides: Sequence[str] = ()) -> dict[str, float]:
    """A method trains by its recipe: finite losses, the same result twice, and a space that loads again.

    Args:
        recipe: name or path of a recipe that uses the method.
        folder: for the two runs.
        overrides: `key=value`, such as `train.steps=4`, which keep the runs short.

    Returns:
        the metrics of the run.
    """
    from vlcli.align import Space
    from vlcli.recipe import load_recipe
    from vlcli.train.run import run_training

    resolved = load_recipe(recipe, registry, ["device='cpu'", *overrides])
    results, events = [], []
    for number in (1, 2):
        run_folder = folder / f"run-{number}"
        run_folder.mkdir(parents=True)
        log: list[dict[str, Any]] = []
        results.append(
            run_training(resolved.model, run_folder, registry, recipe_hash="check", log=log.append, quiet=True)
        )
        events.append([e for e in log if any(isinstance(v, float) and "loss" in k for k, v in e.items())])
    first, second = results
    assert first.metrics, "the run gives no metric"
    for key, value in first.metrics.items():
        assert math.isfinite(value), f"the metric '{key}' is {value}"
    assert first.metrics == second.metrics, "two runs with the same seed differ: a method draws from state.generator"
    if first.space_folder is not None:
        saved = Space.load(first.space_folder, registry)
        result = first.method.result_space()
        assert result is not None and saved.identity == result.identity, "the saved space differs from the trained one"
    else:
        assert first.model_folder is not None, "the run leaves neither a space nor a model: implement Method.save"
    if first.model_folder is not None:
        names = [files_below(run.model_folder) for run in results if run.model_folder is not None]
        assert names[0] and names == [names[0]] * 2, f"two runs save different files: {names}"
    return first.metrics


def files_below(folder: Path) -> list[str]:
    """Relative names of all files in a folder."""
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def check_dataset(dataset: Dataset, *, modalities: Sequence[str]) -> None:
    """A data set: indexable, the same at every reading, unique ids, sources of the declared modalities that exist."""
    from vlcli.data import Dataset, Example

    assert isinstance(dataset, Dataset), "a data set has __len__ and __getitem__"
    assert len(dataset) > 0, "the data set is empty"
    seen: set[str] = set()
    for index in range(len(dataset)):
        example = dataset[index]
        assert isinstance(example, Example), f"item {index} is {type(example).__name__}, not vlcli.data.Example"
        assert example == dataset[index], f"example {index} differs when it is read again"
        assert example.id not in seen, f"the id '{example.id}' occurs twice"
        seen.add(example.id)
        unknown = sorted(set(example.sources) - set(modalities))
        assert not unknown, f"'{example.id}' holds {unknown}, which the spec's `modalities` do not list"
        assert example.sources or example.captions, f"'{example.id}' holds neither a source nor a caption"
        assert isinstance(example.captions, tuple) and all(
            isinstance(caption, str) and caption.strip() for caption in example.captions
        ), f"the captions of '{example.id}' must be a tuple of sentences"
        for modality, source in example.sources.items():
            missing = source.path is not None and not source.path.exists()
            assert not missing, f"the {modality} file of '{example.id}' does not exist: {source.path}"
    try:
        dataset[len(dataset)]
    except IndexError:
        return
    raise AssertionError("reading past the end must raise IndexError")


def check_metric(metric: Callable[[np.ndarray, np.ndarray], np.ndarray], *, queries: int = 10) -> None:
    """A metric: `metric(similarity [Q, N], positives [Q, N] bool) -> [Q]`, one finite value a query, higher is better.

    A perfect ranking must score highest, a reversed one lowest, and the order of the candidates must not matter.
    """
    import numpy as np

    random = np.random.default_rng(0)
    positives = np.eye(queries, dtype=bool)
    noise = random.normal(size=(queries, queries))
    perfect, reverse = noise + 100 * positives, noise - 100 * positives
    best, middle, worst = (np.asarray(metric(matrix, positives)) for matrix in (perfect, noise, reverse))
    for values in (best, middle, worst):
        assert values.shape == (queries,), f"a metric gives one value a query, [{queries}], not {list(values.shape)}"
        assert np.isfinite(values).all(), "a metric must be finite"
    assert (best >= middle).all() and (middle >= worst).all(), "a better ranking must not score lower"
    assert best.mean() > worst.mean(), "a perfect and a reversed ranking score the same"
    order = random.permutation(queries)
    shuffled = np.asarray(metric(noise[:, order], positives[:, order]))
    assert np.allclose(shuffled, middle), "the order of the candidates matters"


def check_command(app: typer.Typer, *, examples: Sequence[Sequence[str]] = ()) -> list[str]:
    """A command group: `--help` works for it and for each of its commands, and every command says what it does.

    Args:
        examples: argument lists that must succeed.

    Returns:
        what each example printed.
    """
    from typer.main import get_command
    from typer.testing import CliRunner

    runner = CliRunner()
    command = get_command(app)
    children = sorted(getattr(command, "commands", {}))
    for arguments in [["--help"], *([name, "--help"] for name in children)]:
        result = runner.invoke(app, arguments)
        assert result.exit_code == 0, f"`{' '.join(arguments)}` fails: {result.exception or result.output}"
    for name, child in getattr(command, "commands", {"": command}).items():
        assert (child.help or "").strip(), f"the command '{name}' has no docstring, so its --help says nothing"
    outputs = []
    for example in examples:
        result = runner.invoke(app, list(example))
        assert result.exit_code == 0, f"`{' '.join(example)}` fails: {result.exception or result.output}"
        outputs.append(result.output)
    return outputs


def check_generator(generator: Generator, *, prompts: Sequence[str] = ("a red circle", "a blue square")) -> list[Any]:
    """A generator: one item for each prompt, the same for the same seed. Returns the items."""
    from vlcli.align.protocols import Generator

    assert isinstance(generator, Generator), "a generator has `modality` and `generate(prompts, seed=…)`"
    items = generator.generate(prompts, seed=1)
    assert len(items) == len(prompts), f"{len(prompts)} prompts gave {len(items)} items"
    assert fingerprints(items) == fingerprints(generator.generate(prompts, seed=1)), "the same seed gave other items"
    assert generator.generate([], seed=1) == [], "no prompts must give no items"
    return items


def fingerprints(items: Sequence[Any]) -> list[bytes]:
    """The content of items (arrays, tensors, pictures, dataclasses of these) as bytes, to compare them."""
    import dataclasses

    import numpy as np

    def content(item: Any) -> bytes:
        if dataclasses.is_dataclass(item):
            return b"".join(content(getattr(item, field.name)) for field in dataclasses.fields(item))
        return np.ascontiguousarray(np.asarray(item)).tobytes()

    return [content(item) for item in items]


def check_codec(codec: Codec, signals: Tensor, *, tolerance: float) -> None:
    """A codec: integer codes `[B, n_q, T]` inside the code book, and a round trip within `tolerance` (mean absolute).

    Args:
        signals: `[B, C, T_signal]`, typical inputs.
    """
    import torch

    from vlcli.align.protocols import Codec

    assert isinstance(codec, Codec), "a codec has `modality`, `codebook_size`, `quantizers`, `encode` and `decode`"
    with torch.no_grad():
        codes = codec.encode(signals)
        assert codes.ndim == 3 and codes.shape[:2] == (len(signals), codec.quantizers), (
            f"codes must be [B, n_q, T] with n_q = {codec.quantizers}, not {list(codes.shape)}"
        )
        assert codes.dtype == torch.int64, f"codes must be int64, not {codes.dtype}"
        assert int(codes.min()) >= 0 and int(codes.max()) < codec.codebook_size, "codes lie outside the code book"
        assert torch.equal(codes, codec.encode(signals)), "the same signals gave other codes"
        decoded = codec.decode(codes)
        assert decoded.shape == signals.shape, f"decoding gives {list(decoded.shape)}, not {list(signals.shape)}"
        error = float((decoded - signals).abs().mean())
        assert error <= tolerance, f"the round trip is off by {error:.4f} on average, more than {tolerance}"
