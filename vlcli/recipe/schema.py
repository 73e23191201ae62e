"""The top of a recipe and the steps of a pipeline. Needs pydantic, never torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from vlcli.recipe.fields import Component, Name, Names, Place, Positive, Section, SomeNames, Table, array_to_tuple
from vlcli.recipe.schema_train import Claim, Data, Optim, Schedule, Stage, Tower, Train

SCHEMA_VERSION = 1
RUN_PREFIX = "@run/"
"""Begins a path inside the run folder: `@run/photos` is a store that an earlier step made."""
DATA_PREFIX = "data:"
"""Begins an input that is a whole registered data set: `data:images/emoji`."""


class Step(Section):
    """What every step has: which verb it uses."""

    use: str


class EmbedStep(Step):
    """Embed inputs into a store, as `vlcli embed` does.

    Attributes:
        inputs: files, folders, globs, manifests, or `data:NAME` for all examples of a data set.
        store: a store's name or path, or `@run/NAME`.
        space: a registered space, a folder, `hf:NAME`, or `@run/space` after training; default: the modality's starter.
        modality: for inputs whose extension several modalities read.
        verify: hash files again even if size and time are unchanged.
    """

    use: Literal["embed"]
    inputs: SomeNames
    store: Name
    space: Name | None = None
    modality: Name | None = None
    batch_size: Positive = 32
    verify: bool = False


class SearchStep(Step):
    """Search a store, as `vlcli search` does, once for each query.

    Attributes:
        queries: texts.
        files: files to search by example.
        items: inline values to search by example, such as SMILES strings.
        top: answers to each query.
        where: SQL over the items' columns.
        filters: filters of plugins that items must pass, as `NAME=VALUE`.
        page: an HTML page with the answers as a grid, inside the run folder; "" for none.
    """

    use: Literal["search"]
    store: Name
    queries: Names = ()
    files: Names = ()
    items: Names = ()
    filters: Names = ()
    top: Annotated[int, Field(ge=1, le=1000)] = 12
    where: Name | None = None
    modality: Name | None = None
    space: Name | None = None
    page: Place = "search.html"
    title: Name | None = None


class ClassifyStep(Step):
    """Sort inputs into labels without training, as `vlcli classify` does.

    Attributes:
        inputs: as for `embed`.
        labels: the classes in words.
        templates: sentences with `{}` for the label, averaged; default: what the modality states.
        top: labels kept for each input.
        page: an HTML page inside the run folder; "" for none.
    """

    use: Literal["classify"]
    inputs: SomeNames
    labels: Annotated[tuple[Name, ...], BeforeValidator(array_to_tuple), Field(min_length=2)]
    templates: Names = ()
    space: Name | None = None
    modality: Name | None = None
    top: Positive = 3
    batch_size: Positive = 32
    page: Place = "classify.html"


class EvalStep(Step):
    """Measure a space on data, as `vlcli eval` does.

    Attributes:
        data: a registered data set, a folder, or a CSV, JSONL or Parquet file.
        options: options of a registered data set.
        task: what to measure.
        split: of the data; default: the test split where there is one, else everything.
        modality: what is measured; default: the one that space and data share besides text.
        against: the other side of retrieval, `text` for the captions.
        templates: prompts with `{}` for zero-shot; default: what the modality states.
        k: neighbours of `knn`.
        bootstrap: resamples of the 95 % interval; 0 for none.
        dim: use the first so many dimensions (Matryoshka).
        page: an HTML page inside the run folder; "" for none.
    """

    use: Literal["eval"]
    space: Name
    data: Name
    options: Table = Field(default_factory=dict)
    task: Literal["retrieval", "zero-shot", "linear-probe", "knn"] = "retrieval"
    split: Name | None = None
    modality: Name | None = None
    against: Name = "text"
    templates: Names = ()
    k: Positive = 20
    bootstrap: Annotated[int, Field(ge=0, le=100_000)] = 2000
    dim: Positive | None = None
    batch_size: Positive = 32
    page: Place = "eval.html"


class PreviewStep(Step):
    """Write a contact sheet of a data set, as `vlcli data preview` does."""

    use: Literal["preview"]
    data: Name
    options: Table = Field(default_factory=dict)
    count: Annotated[int, Field(ge=1, le=1000)] = 48
    output: Annotated[Place, Field(min_length=1)] = "preview.png"


class ReportStep(Step):
    """Write the run's report page before the end of the run (one is always written at the end)."""

    use: Literal["report"]
    title: Name | None = None


STEPS: dict[str, type[Step]] = {
    "embed": EmbedStep,
    "search": SearchStep,
    "classify": ClassifyStep,
    "eval": EvalStep,
    "preview": PreviewStep,
    "report": ReportStep,
}
"""`use` of a step -> its options. `vlcli.cli.steps.STEP_FUNCTIONS` has the function for each."""


class Recipe(Section):
    """A whole recipe. It trains when it has an objective or a method; the steps follow in their order.

    Attributes:
        schema_version: `schema` in the file; 1.
        name: default: the file's name.
        extends: recipes that this one is laid over, `@plugin/recipe` or a path relative to the file.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`.
        threads: CPU threads of torch; default: torch's own.
    """

    schema_version: Annotated[Literal[1], Field(alias="schema")]
    name: Name
    summary: str = ""
    extends: Names = ()
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    device: Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")] = "auto"
    threads: Positive | None = None
    data: Data | None = None
    towers: dict[str, Tower] = Field(default_factory=dict)
    objective: Component | None = None
    method: Component | None = None
    optim: Optim = Optim()
    schedule: Schedule = Schedule()
    train: Train | None = None
    stages: Annotated[tuple[Stage, ...], BeforeValidator(array_to_tuple)] = ()
    claim: Claim | None = None
    steps: Table = Field(default_factory=dict)

    @property
    def trains(self) -> bool:
        """Whether a run of it begins with training."""
        return self.method is not None or self.objective is not None
