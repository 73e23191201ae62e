"""What ULIP and JM3D share: an image-text space that is made or given, then frozen, and a point tower that joins it.

A run has up to three stages. `image-text` trains the image and text towers on renders and captions of all classes; it
stands in for the pre-trained CLIP that the papers start from, and is left out where the towers are a space already.
`align` trains the point tower alone. `fine-tune` trains a copy of the point encoder with a class head on few labels,
which measures what the alignment is worth; the space that is saved stays as the alignment left it.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from vlcli.align.objectives.info_nce import InfoNCE
from vlcli.align.space import Space
from vlcli.errors import VlcliError
from vlcli.evaluate.zero_shot import label_embeddings
from vlcli.train.batches import Batch, derive_seed
from vlcli.train.loaders import OWN_INPUTS, ExampleLoader, Loader, LoaderSpec
from vlcli.train.method import Evaluate, Method, Setup, Stage, StepState, is_frozen
from vlcli_pointclouds.methods.material import (
    Material,
    View,
    has_picture,
    of_prefix,
    one_by_one,
    random_view,
    with_prefix,
)
from vlcli_pointclouds.methods.prompts import TEMPLATES, names_of
from vlcli_pointclouds.methods.zero_shot import ZeroShot, labels_of

if TYPE_CHECKING:
    from vlcli.data.dataset import Example
    from vlcli_pointclouds.methods.options import AlignmentOptions

IMAGE_TEXT, ALIGN, FINE_TUNE = "image-text", "align", "fine-tune"
MAXIMUM_LOG_SCALE = 4.6052
"""ln 100, as in CLIP and ULIP."""
TOWERS = ("pointclouds", "images", "text")


class Classifier(nn.Module):
    """A point encoder with a linear class head: pooled `[B, F]` to logits `[B, C]`."""

    def __init__(self, encoder: nn.Module, width: int, classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(width, classes)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """Logits of a collated batch."""
        logits: Tensor = self.head(self.encoder(inputs).pooled)
        return logits


class PointAlignment(Method):
    """Base of ULIP and JM3D: stages, batches, the image-text stage, fine-tuning and measurements.

    Args:
        options: of the method.
    """

    name: str
    classifier: Classifier | None

    def __init__(self, options: AlignmentOptions) -> None:
        super().__init__()
        self.options = options
        self.contrast = InfoNCE()
        self.classifier = None
        self.space_is_frozen = False
        self.text_vectors: dict[str, Tensor] = {}

    def build(self, setup: Setup) -> None:
        """Take the towers, and make what the stages need beside them.

        Raises:
            VlcliError: T101 without the three towers, T361 when the image-text space is neither given nor trained,
                T362 for an unseen label that no example has, T363 for fine-tuning without labels, T364 when the
                stages' shares leave no steps.
        """
        options = self.options
        if options.image_text_share + options.finetune_share >= 1:
            raise VlcliError("T364", "method", "the stages leave no steps for the alignment", "lower them")
        self.setup = setup
        self.space: Space = setup.require_space(self.name, *TOWERS)
        if not options.image_text_share and options.baseline != "scratch":
            check_space_is_given(self.space)
        self.material = Material(self.space, setup.registry, options.view_size, options.uninformative)
        examples = setup.examples("train")
        self.labels = labels_of(examples)
        self.known_names = sorted({name for example in examples for name in names_of(example, options.names)})
        self.name_numbers = {name: number for number, name in enumerate(self.known_names)}
        unknown = sorted(set(options.unseen) - set(self.labels))
        if unknown:
            raise VlcliError("T362", "method.unseen", f"'{unknown[0]}' is no label of the training data",
                             f"labels: {', '.join(self.labels)}")  # fmt: skip
        if options.image_text_share:
            # The vocabulary of a text tower that begins here has to know the templates' words too.
            names = {name for example in examples for name in self.sentences(example)}
            self.space.tower("text").encoder.fit([*TEMPLATES, *sorted(names)])
        if options.finetune_share or options.baseline == "scratch":
            if len(self.labels) < 2:
                raise VlcliError("T363", "method.finetune_share", "fine-tuning needs labels of two classes or more",
                                 "give the data labels, or leave finetune_share out")  # fmt: skip
            encoder = self.space.tower("pointclouds").encoder
            self.classifier = Classifier(copy.deepcopy(encoder), encoder.dim, len(self.labels))

    def stages(self) -> list[Stage]:
        """The stages that the options ask for, each with its share of the steps."""
        options = self.options
        begin = Stage(
            IMAGE_TEXT,
            trainable=("space.towers.images.*", "space.towers.text.*", "space.logit_scale"),
            share=options.image_text_share or 1.0,
            learning_rate_scale=options.image_text_lr_scale,
        )
        end = Stage(
            FINE_TUNE,
            trainable=("classifier.*",),
            share=options.finetune_share or 1.0,
            learning_rate_scale=options.finetune_lr_scale,
        )
        if options.baseline == "views":
            return [begin]
        if options.baseline == "scratch":
            return [end]
        left = 1.0 - options.image_text_share - options.finetune_share
        stages = [begin] if options.image_text_share else []
        stages.append(Stage(ALIGN, trainable=("space.towers.pointclouds.*", *self.own_parameters()), share=left))
        return [*stages, end] if options.finetune_share else stages

    def own_parameters(self) -> tuple[str, ...]:
        """Patterns of what the alignment trains beside the point tower."""
        return ()

    def on_stage_start(self, stage: Stage, index: int) -> None:
        """Freeze the image-text space for good, or start the classifier from the aligned encoder."""
        self.space_is_frozen = stage.name != IMAGE_TEXT
        self.text_vectors = {}
        if stage.name == FINE_TUNE and self.options.baseline != "scratch":
            assert self.classifier is not None
            self.classifier.encoder.load_state_dict(self.space.tower("pointclouds").encoder.state_dict())

    def train(self, mode: bool = True) -> PointAlignment:
        """Training mode; frozen towers stay in evaluation mode, heads included."""
        super().train(mode)
        if self.space_is_frozen:
            for name in ("images", "text"):
                if name in self.space.towers:
                    self.space.tower(name).eval()
        return self

    # ----------------------------------------------------------------------------------------------- batches

    def loader(self, examples: list[Example], spec: LoaderSpec) -> Loader:
        """Batches of a stage: of all examples, of those of seen labels, or of few of each label."""
        if spec.stage.name == IMAGE_TEXT:
            return ExampleLoader(examples, self.collate_image_text, spec)
        if spec.stage.name == FINE_TUNE:
            return ExampleLoader(
                few_of_each(examples, self.options.finetune_labels, spec.seed), self.collate_labels, spec
            )
        seen = [example for example in examples if example.label not in self.options.unseen]
        partners = dict(zip([one.id for one in seen], self.partners(seen, spec.seed), strict=True))

        def collate(rows: list[Example], rng: random.Random) -> dict[str, Tensor]:
            inputs = with_prefix("points", self.material.point_rows(rows))
            return inputs | self.collate_targets([partners[row.id] for row in rows], rng)

        return ExampleLoader(seen, collate, spec)

    def partners(self, examples: Sequence[Example], seed: int) -> list[Example]:
        """Whose text and views each example is aligned with: its own, or, as a control, another one's."""
        if self.options.pairs == "own":
            return list(examples)
        order = list(examples)
        random.Random(derive_seed(seed, "shuffled pairs")).shuffle(order)
        return order

    def sentences(self, example: Example) -> tuple[str, ...]:
        """What the image-text stage may say of an example: its captions and all of its names, without repetition."""
        names = [*example.captions, *names_of(example, "label"), *names_of(example, "subtype")]
        return tuple(dict.fromkeys(names))

    def collate_image_text(self, rows: list[Example], rng: random.Random) -> dict[str, Tensor]:
        """A picture and a sentence of every example."""
        sentences = [rng.choice(TEMPLATES).replace("{}", rng.choice(self.sentences(row))) for row in rows]
        views = [[random_view(rng, self.options.image_text_kinds)] for _ in rows]
        # Blank views belong to what points are aligned with; a pre-trained model has seen pictures that show something.
        pictures = self.pictures(rows, views, blank=False)
        return with_prefix("images", pictures) | with_prefix("text", self.material.text_rows(sentences))

    def collate_targets(self, rows: list[Example], rng: random.Random) -> dict[str, Tensor]:
        """What points are aligned with."""
        raise NotImplementedError

    def collate_labels(self, rows: list[Example], rng: random.Random) -> dict[str, Tensor]:
        """Points and labels."""
        labels = torch.tensor([self.labels.index(str(row.label)) for row in rows])
        return with_prefix("points", self.material.point_rows(rows)) | {"labels": labels}

    def pictures(
        self, rows: Sequence[Example], views: Sequence[Sequence[View]], blank: bool = True
    ) -> dict[str, Tensor]:
        """The pictures that examples bring, or else the chosen views, `[B, V, …]`."""
        if all(has_picture(row) for row in rows):
            return self.material.own_picture_rows(rows)
        return self.material.view_rows(rows, views, blank)

    def drawn_names(self, rows: Sequence[Example], rng: random.Random) -> dict[str, Tensor]:
        """A name drawn for every example, as its number `[B]` in `known_names`."""
        names = [rng.choice(names_of(row, self.options.names)) for row in rows]
        return {"names": torch.tensor([self.name_numbers[name] for name in names])}

    def drawn_text(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Unit vectors `[B, D]` of the names that were drawn."""
        return self.name_vectors([self.known_names[number] for number in inputs["names"].tolist()])

    # ------------------------------------------------------------------------------------------------- steps

    def training_step(self, batch: Batch, state: StepState, optimizer: str = "main") -> dict[str, Tensor]:
        """The loss terms of the running stage."""
        inputs = batch.inputs[OWN_INPUTS]
        if state.stage.name == IMAGE_TEXT:
            images = self.space.embed("images", one_by_one(of_prefix("images", inputs)))
            text = self.space.embed("text", of_prefix("text", inputs))
            return {"images_text": self.contrast(images, text, self.space.logit_scale.exp())}
        points = of_prefix("points", inputs)
        if self.options.augment:
            points = augmented(points, self.space.tower("pointclouds").encoder, state.generator)
        if state.stage.name == FINE_TUNE:
            assert self.classifier is not None
            return {"class": functional.cross_entropy(self.classifier(points), inputs["labels"])}
        return self.align(points, inputs)

    def align(self, points: dict[str, Tensor], inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The loss terms of the alignment."""
        raise NotImplementedError

    @torch.no_grad()
    def after_step(self, state: StepState) -> None:
        """Keep the temperature in CLIP's bounds."""
        if state.stage.name == IMAGE_TEXT:
            self.space.logit_scale.clamp_(0.0, MAXIMUM_LOG_SCALE)

    @torch.no_grad()
    def embed_sentences(self, sentences: list[str]) -> Any:
        """Sentences to unit vectors `[N, D]` (numpy), by the text tower as it stands."""
        rows = {key: value.to(self.space.device) for key, value in self.material.text_rows(sentences).items()}
        return self.space.embed("text", rows).float().cpu().numpy()

    def name_vectors(self, names: Sequence[str]) -> Tensor:
        """Unit vectors `[N, D]` of names, each averaged over the templates; kept while the text tower is frozen.

        Each name is computed by itself, so that its vector does not depend on what else is in the batch.
        """
        templates = TEMPLATES[: self.options.templates]
        for name in names:
            if name not in self.text_vectors:
                vector = label_embeddings(self.embed_sentences, [name], templates)
                self.text_vectors[name] = torch.from_numpy(vector[0]).to(self.space.device)
        return torch.stack([self.text_vectors[name] for name in names])

    # ------------------------------------------------------------------------------------------ measurements

    def evaluate(self, evaluate: Evaluate) -> dict[str, float]:
        """Zero-shot and fine-tuned accuracies on the test split; retrieval where the data have no labels."""
        metrics = self.measure("test")
        return metrics or evaluate("test", "test", None)

    def validate(self) -> dict[str, float]:
        """The same on the validation split."""
        return self.measure("validation")

    def measure(self, split: str) -> dict[str, float]:
        """All that can be measured on a split with labels."""
        examples = self.setup.examples(split)
        if not examples or len(self.labels) < 2:
            return {}
        training = self.training
        self.eval()
        self.text_vectors = {}
        judge = ZeroShot(self.space, self.material, self.name_vectors, self.labels, self.options.unseen)
        if self.options.baseline == "views":
            renders = {f"renders_{name}": value for name, value in judge.by_renders(examples).items()}
            found = judge.by_depth_maps(examples) | renders
        elif self.options.baseline == "scratch":
            found = {}
        else:
            found = judge.by_points(examples)
        if self.classifier is not None:
            found["finetuned_top1"] = judge.classified(self.classifier, examples)
        self.train(training)
        return {f"{split}/{name}": value for name, value in found.items()}

    def result_space(self) -> Space | None:
        """Points, images and text in one space; nothing of a baseline, which trains no point tower."""
        return self.space if self.options.baseline == "none" else None


def check_space_is_given(space: Space) -> None:
    """Refuse to align with towers that know nothing.

    Raises:
        VlcliError: T361.
    """
    for name in ("images", "text"):
        tower = space.tower(name)
        if tower.of_space is None or not is_frozen(tower.encoder):
            raise VlcliError(
                "T361", f"towers.{name}.use", "points can only be aligned with a trained image-text space",
                'name one, such as use = "space:images/starter" or "space:hf:FOLDER", without trainable; or train one '
                "first with method.image_text_share",
            )  # fmt: skip


def few_of_each(examples: Sequence[Example], count: int, seed: int) -> list[Example]:
    """`count` examples of every label, drawn by the seed."""
    chosen: list[Example] = []
    order = sorted(examples, key=lambda example: derive_seed(seed, "few", example.id))
    for label in labels_of(examples):
        chosen += [example for example in order if example.label == label][:count]
    return chosen


def augmented(points: dict[str, Tensor], encoder: nn.Module, generator: torch.Generator) -> dict[str, Tensor]:
    """A collated batch with ULIP's augmentation of its points."""
    from vlcli_pointclouds.augment import augment

    return points | {"points": augment(points["points"], generator, getattr(encoder, "channels", "xyz"))}
