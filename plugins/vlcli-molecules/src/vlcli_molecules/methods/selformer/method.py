"""SELFormer as a method: masked symbols, then a property, in one run or in two.

Yüksel et al., "SELFormer: molecular representation learning via SELFIES language models", 2023. Pre-training guesses
15 % of the symbols (80 % of these masked, 10 % replaced, 10 % kept); fine-tuning trains all layers with a head of
dropout, dense, tanh, dropout and linear on `<s>`. Differs from the released code in: areas under curves are computed
from scores, missing labels take no part, and the tokenizer's padding id is also the network's.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vlcli.align.checkpoints import load_pretrained
from vlcli.align.objectives.masked_lm import IGNORED, MaskedLanguageModel, mask_tokens
from vlcli.align.space import Space, Tower
from vlcli.api import VlcliError
from vlcli.train.batches import Batch, derive_seed
from vlcli.train.loaders import OWN_INPUTS, ExampleLoader, Loader, LoaderSpec
from vlcli.train.method import Evaluate, Method, Setup, Stage, StepState
from vlcli_molecules.methods.selformer.corruption import alphabet_of, random_string, symbols_of, valid_share
from vlcli_molecules.methods.selformer.domain import Domain
from vlcli_molecules.methods.selformer.encoder import SelformerEncoder, model_folder
from vlcli_molecules.methods.selformer.options import SelformerOptions
from vlcli_molecules.methods.selformer.probe import aromatic_knn
from vlcli_molecules.methods.selformer.saved import property_config, run_network, save_pretrained, save_property
from vlcli_molecules.methods.selformer.strings import molecule_of
from vlcli_molecules.methods.selformer.tasks import Task, fit_task, metrics_of, row_of, targets_of
from vlcli_molecules.molecule import Molecule
from vlcli_molecules.tokenizers import SelfiesTokenizer

if TYPE_CHECKING:
    from vlcli.data.dataset import Example

PRETRAIN, FINETUNE = "pretrain", "finetune"
Key = tuple[str, str]
REFUSED_FILE = "refused.tsv"
PROBE_MOLECULES = 4000
"""Training molecules among which the probe looks for neighbours."""


class Selformer(Method):
    """Pre-training, fine-tuning, or one after the other. Options: `SelformerOptions`."""

    encoder: SelformerEncoder
    before: Tensor

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.options = SelformerOptions(**options)
        self.task: Task | None = None
        self.refused: dict[Key, VlcliError] = {}
        self.molecules: dict[Key, Molecule] = {}
        self.rows: dict[Key, Tensor] = {}
        self.guessing = MaskedLanguageModel()
        self.metrics: dict[str, float] = {}

    def build(self, setup: Setup) -> None:
        """Make tokenizer, network and heads.

        Raises:
            VlcliError: T341 to T344 when options, data and network do not go together.
        """
        from transformers import RobertaForMaskedLM, RobertaForSequenceClassification

        options = self.options
        self.seed, self.total_steps, self.examples = setup.seed, setup.total_steps, setup.examples
        if options.task != "mlm" and options.pretraining_steps >= setup.total_steps:
            what = f"{options.pretraining_steps} of {setup.total_steps} steps leave none for the property"
            raise VlcliError("T344", "method.pretraining_steps", what, "raise train.steps, or lower it")
        if options.start:
            self.encoder = SelformerEncoder(checkpoint=options.start, tokenizer_file=options.tokenizer_file)
        else:
            self.encoder = self.new_encoder()
        if self.encoder.tokenizer.mask_id is None:
            raise VlcliError("T347", "method.tokenizer_file", "the tokenizer has no <mask>", "use one for RoBERTa")
        masked = RobertaForMaskedLM(self.encoder.config)
        if options.start and options.task == "mlm":
            masked = load_pretrained(RobertaForMaskedLM, model_folder(options.start))
            self.encoder.roberta = masked.roberta
        elif options.start:
            masked.roberta = self.encoder.roberta
            masked.tie_weights()
        else:
            self.encoder.roberta = masked.roberta
        self.lm_head = masked.lm_head
        # A buffer, so that a resumed run knows what was measured before fine-tuning.
        self.register_buffer("before", torch.tensor(float("nan"), dtype=torch.float64))
        if options.task != "mlm":
            rows = [row_of(example) for example in self.usable(setup.examples("train"))]
            targets = targets_of(setup.examples("train"), options.targets)
            self.task = fit_task(options.task, targets, rows, scale=options.scale)
            self.classifier = RobertaForSequenceClassification(property_config(self.encoder, self.task)).classifier

    def new_encoder(self) -> SelformerEncoder:
        """A network without any knowledge, with the tokenizer that the user names or one learnt from the strings."""
        options = self.options
        sizes = options.model_dump(
            include={"vocabulary", "width", "layers", "heads", "hidden", "max_length", "dropout"}
        )
        encoder = SelformerEncoder(tokenizer=options.tokenizer, tokenizer_file=options.tokenizer_file, **sizes)
        if options.tokenizer_file:
            return encoder
        # All arms of a comparison learn their tokenizer from the same molecules, pre-trained or not.
        corpus = self.usable(self.examples("train", dict(options.pretraining_data)), encoder)
        texts = [encoder.text(self.molecules[key_of(example)]) for example in corpus]
        if not texts:
            raise VlcliError("T345", "data", "holds no molecule that can be read", self.first_refusal())
        encoder.tokenizer = SelfiesTokenizer.train(texts, kind=options.tokenizer, size=options.vocabulary)
        return encoder

    def first_refusal(self) -> str:
        """The first reason why an input was refused, for messages."""
        error = next(iter(self.refused.values()), None)
        return f"the first: {error.where}: {error.message}" if error is not None else ""

    def stages(self) -> list[Stage]:
        """Pre-training, fine-tuning, or both."""
        options = self.options
        pretrain = Stage(PRETRAIN, frozen=("classifier.*",))
        if options.task == "mlm":
            return [pretrain]
        if not options.pretraining_steps:
            return [Stage(FINETUNE, frozen=("lm_head.*",))]
        left = self.total_steps - options.pretraining_steps
        first = replace(
            pretrain, share=options.pretraining_steps, data=dict(options.pretraining_data),
            learning_rate_scale=options.pretraining_lr_scale,
        )  # fmt: skip
        return [first, Stage(FINETUNE, frozen=("lm_head.*",), share=left)]

    def on_stage_start(self, stage: Stage, index: int) -> None:
        """Before fine-tuning, probe the embedding that the pre-training (or, from scratch, nothing) has made."""
        if stage.name != FINETUNE or not self.options.pretraining_data:
            return
        data = dict(self.options.pretraining_data)
        found = self.probe(self.usable(self.examples("train", data)), self.usable(self.examples("test", data)))
        if found is not None:
            self.before.fill_(found)

    def usable(self, examples: Sequence[Example], encoder: SelformerEncoder | None = None) -> list[Example]:
        """The examples whose molecule can be read and written in the model's notation; why not is kept in `refused`."""
        encoder = encoder or self.encoder
        kept = []
        for example in examples:
            key = key_of(example)
            if key in self.refused:
                continue
            if key not in self.molecules:
                try:
                    if "molecules" not in example.sources:
                        raise VlcliError("T107", example.id, "has no molecule", "drop it, or give it one")
                    molecule = molecule_of(example.sources["molecules"], encoder.notation)
                    encoder.text(molecule)
                except VlcliError as error:
                    self.refused[key] = error
                    continue
                self.molecules[key] = molecule
            kept.append(example)
        return kept

    def ids(self, example: Example) -> Tensor:
        """Token ids `[T]` of an example."""
        key = key_of(example)
        if key not in self.rows:
            self.rows[key] = self.encoder.token_ids([self.encoder.text(self.molecules[key])])[0]
        return self.rows[key]

    def loader(self, examples: list[Example], spec: LoaderSpec) -> Loader:
        """Batches of masked strings, or of strings with targets."""
        usable = self.usable(examples)
        if not usable:
            raise VlcliError("T345", "data", "holds no molecule that can be read", self.first_refusal())
        if spec.stage.name == FINETUNE:
            return ExampleLoader(usable, self.collate_targets, spec)
        if self.options.corpus == "random":
            rows = self.random_rows(usable)
        else:
            rows = {key_of(example): self.ids(example) for example in usable}
        if self.options.task != "mlm":
            spec = replace(spec, batch_size=self.options.pretraining_batch)
        return ExampleLoader(usable, partial(self.collate_masked, rows), spec)

    def random_rows(self, examples: Sequence[Example]) -> dict[Key, Tensor]:
        """For each example a string of as many symbols as its own, each drawn at random: nothing to learn from."""
        notation = self.encoder.notation
        texts = [self.encoder.text(self.molecules[key_of(example)]) for example in examples]
        alphabet = alphabet_of(texts, notation)
        rng = random.Random(derive_seed(self.seed, "random corpus"))
        drawn = [random_string(len(symbols_of(text, notation)), alphabet, rng) for text in texts]
        return dict(zip([key_of(example) for example in examples], self.encoder.token_ids(drawn), strict=True))

    def collate_masked(
        self, rows: Mapping[Key, Tensor], examples: list[Example], rng: random.Random
    ) -> dict[str, Tensor]:  # fmt: skip
        """Masked ids, mask and labels `[B, T]`."""
        inputs = self.encoder.pad(sorted((rows[key_of(example)] for example in examples), key=len))
        return self.hide(inputs, rng.getrandbits(63))

    def hide(self, inputs: dict[str, Tensor], seed: int) -> dict[str, Tensor]:
        """Padded ids with hidden tokens, and what these were."""
        tokenizer = self.encoder.tokenizer
        assert tokenizer.mask_id is not None
        masked, labels = mask_tokens(
            inputs["input_ids"], mask_id=tokenizer.mask_id, vocabulary_size=tokenizer.vocab_size,
            special_ids=(tokenizer.pad_id, tokenizer.bos_id, tokenizer.eos_id),
            probability=self.options.mask_probability, generator=torch.Generator().manual_seed(seed),
        )  # fmt: skip
        return {**inputs, "input_ids": masked, "labels": labels}

    def collate_targets(self, examples: list[Example], rng: random.Random) -> dict[str, Tensor]:
        """Ids and mask `[B, T]`, targets `[B, K]` and which of them are there."""
        assert self.task is not None
        examples = sorted(examples, key=lambda example: len(self.ids(example)))
        values, present = self.task.encode([row_of(example) for example in examples])
        inputs = self.encoder.pad([self.ids(example) for example in examples])
        return {**inputs, "values": values, "present": present}

    def training_step(self, batch: Batch, state: StepState, optimizer: str = "main") -> dict[str, Tensor]:
        """The loss of the stage."""
        inputs = batch.inputs[OWN_INPUTS]
        if state.stage.name == PRETRAIN:
            return {"mlm": self.guess(inputs)[0]}
        assert self.task is not None
        # The head reads the first token alone.
        first = torch.cat([states[:, :1] for _, states in self.encoder.parts(inputs)])
        outputs = self.classifier(first)
        return {self.task.kind: self.task.loss(outputs, inputs["values"], inputs["present"])}

    def guess(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Loss, logits `[H, V]` and labels `[H]` of the hidden tokens."""
        found, wanted = [], []
        for rows, states in self.encoder.parts(inputs):
            labels = inputs["labels"][rows, : states.shape[1]]
            # Only hidden positions go through the head.
            found.append(states[labels != IGNORED])
            wanted.append(labels[labels != IGNORED])
        logits, labels = self.lm_head(torch.cat(found)), torch.cat(wanted)
        return self.guessing(logits, labels), logits, labels

    def validate(self) -> dict[str, float]:
        """Metrics of the validation split."""
        return self.measure("validation")

    def evaluate(self, evaluate: Evaluate) -> dict[str, float]:
        """Metrics of validation and test split, the robustness of the notation, and what could not be read."""
        self.metrics = self.measure("validation") | self.measure("test")
        test = self.usable(self.examples("test"))
        options = self.options
        if test and options.corrupted_copies:
            texts = [self.encoder.text(self.molecules[key_of(example)]) for example in test]
            self.metrics["test/corrupted_valid"] = valid_share(
                texts, self.encoder.notation, share=options.corruption, copies=options.corrupted_copies, seed=self.seed
            )
        found = self.probe(self.usable(self.examples("train")), test) if self.task is None else float(self.before)
        if found is not None and not math.isnan(found):
            self.metrics["embedding/aromatic_knn"] = found
        self.metrics["refused"] = float(len(self.refused))
        return self.metrics

    @torch.no_grad()
    def measure(self, split: str) -> dict[str, float]:
        """Metrics of a split with the present weights; none when it is empty."""
        examples = self.usable(self.examples(split))
        if not examples:
            return {}
        training = self.training
        self.eval()
        if self.task is None:
            found = self.measure_guesses(examples)
        else:
            outputs, _ = run_network(self.encoder, self.classifier, [self.ids(example) for example in examples])
            observed = self.task.observed([row_of(example) for example in examples])
            found = metrics_of(self.task, self.task.scores(outputs), observed)
        self.train(training)
        return {f"{split}/{name}": value for name, value in found.items()}

    def measure_guesses(self, examples: Sequence[Example]) -> dict[str, float]:
        """Loss and accuracy of guessing hidden tokens, always the same ones."""
        device = next(self.encoder.parameters()).device
        loss = right = count = 0.0
        for start in range(0, len(examples), self.options.pretraining_batch):
            part = examples[start : start + self.options.pretraining_batch]
            inputs = self.hide(self.encoder.pad([self.ids(example) for example in part]), derive_seed("guess", start))
            mean, logits, labels = self.guess({name: value.to(device) for name, value in inputs.items()})
            loss += float(mean) * len(labels)
            right += float((logits.argmax(-1) == labels).sum())
            count += len(labels)
        return {"mlm_loss": loss / max(count, 1), "mlm_accuracy": right / max(count, 1)}

    def probe(self, training: Sequence[Example], test: Sequence[Example]) -> float | None:
        """Whether neighbours in the present embedding agree on being aromatic (see `aromatic_knn`)."""
        mode = self.training
        self.eval()
        sides = []
        for examples in (training[:PROBE_MOLECULES], test):
            embeddings = run_network(self.encoder, None, [self.ids(example) for example in examples])[1].numpy()
            sides.append((embeddings, [self.molecules[key_of(example)] for example in examples]))
        self.train(mode)
        return aromatic_knn(*sides[0], *sides[1])

    def result_space(self) -> Space:
        """A space of molecules alone, for `vlcli embed` and search by example."""
        tower = Tower(self.encoder, None, "molecules/selformer", {"tokenizer": self.options.tokenizer})
        return Space("selformer", {"molecules": tower})

    def save(self, folder: Path) -> bool:
        """Write the model; see `vlcli_molecules.methods.selformer.saved`."""
        if self.refused:
            lines = [f"{error.where}\t{error.code}\t{error.message}\n" for error in self.refused.values()]
            (folder / REFUSED_FILE).write_text("where\tcode\treason\n" + "".join(lines), encoding="utf-8")
        if self.task is None:
            save_pretrained(self.encoder, self.lm_head, folder, self.metrics)
            return True
        smiles = {
            split: [self.molecules[key_of(example)].smiles for example in self.usable(self.examples(split))]
            for split in ("train", "validation")
        }
        domain = Domain.fit(smiles["train"], smiles["validation"])
        save_property(self.encoder, self.classifier, self.task, domain, folder, self.metrics)
        return True


def key_of(example: Example) -> Key:
    """What an example is kept under: two data sets of one run may use the same ids."""
    source = example.sources.get("molecules")
    return example.id, "" if source is None else source.value or source.id
