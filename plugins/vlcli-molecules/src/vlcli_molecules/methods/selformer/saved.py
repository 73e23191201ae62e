"""SELFormer on disk: a Hugging Face folder (config, safetensors, tokenizer) with the task and its domain beside it.

    config.json, model.safetensors   RobertaForMaskedLM, or RobertaForSequenceClassification for a property
    tokenizer.json                   the tokenizer
    selformer.json                   notation, task, scaling, metrics, threshold of the applicability domain
    training.safetensors, training.smi   the training molecules, for the applicability domain

Plain transformers loads the first three.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vlcli.align.checkpoints import load_pretrained, read_json
from vlcli.align.encoder import to_device
from vlcli.api import VlcliError
from vlcli.runtime.quiet import without_bars
from vlcli_molecules.methods.selformer.domain import Domain
from vlcli_molecules.methods.selformer.encoder import NOTATION_FILE, SelformerEncoder, mean_over_tokens, model_folder
from vlcli_molecules.methods.selformer.tasks import Floats, Task
from vlcli_molecules.molecule import Molecule

BATCH = 64
PROBLEMS = {
    "regression": "regression",
    "classification": "single_label_classification",
    "multilabel": "multi_label_classification",
}
"""Our kinds of task -> the names that transformers has for them."""


def save_pretrained(encoder: SelformerEncoder, lm_head: nn.Module, folder: Path, metrics: dict[str, float]) -> None:
    """Write a pre-trained model."""
    from transformers import RobertaForMaskedLM

    model = RobertaForMaskedLM(encoder.config)
    model.roberta, model.lm_head = encoder.roberta, lm_head
    model.tie_weights()
    write(encoder, model, folder, {"task": None, "metrics": metrics})


def save_property(
    encoder: SelformerEncoder, classifier: nn.Module, task: Task, domain: Domain, folder: Path,
    metrics: dict[str, float],
) -> None:  # fmt: skip
    """Write a fine-tuned model with its task and applicability domain."""
    from transformers import RobertaForSequenceClassification

    model = RobertaForSequenceClassification(property_config(encoder, task))
    model.roberta, model.classifier = encoder.roberta, classifier
    content = {"task": task.as_json(), "metrics": metrics, "domain": domain.save(folder)}
    write(encoder, model, folder, content)


def property_config(encoder: SelformerEncoder, task: Task) -> Any:
    """The encoder's config with a head for the task."""
    from transformers import RobertaConfig

    names = task.classes if task.kind == "classification" else task.targets
    values = encoder.config.to_dict() | {
        "num_labels": task.outputs, "problem_type": PROBLEMS[task.kind],
        "id2label": dict(enumerate(names)), "label2id": {name: index for index, name in enumerate(names)},
    }  # fmt: skip
    return RobertaConfig.from_dict(values)


def write(encoder: SelformerEncoder, model: Any, folder: Path, content: dict[str, Any]) -> None:
    """The parts that both kinds share."""
    encoder.save_assets(folder)
    with without_bars():
        model.save_pretrained(folder)
    content = {"schema": 1, "notation": encoder.notation, **content}
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    (folder / NOTATION_FILE).write_text(text, encoding="utf-8")


@dataclass
class Predictions:
    """What a model says about `N` molecules.

    Attributes:
        scores: `[N, outputs]`, see `Task.scores`.
        embeddings: `[N, D]`, means over the tokens, not normalised.
        similarity: `[N]` to the nearest training molecule.
        nearest: that molecule's SMILES.
        applicable: whether the similarity reaches the threshold.
    """

    scores: Floats
    embeddings: NDArray[np.float32]
    similarity: NDArray[np.float64]
    nearest: list[str]
    applicable: NDArray[np.bool_]


@dataclass
class PropertyModel:
    """A fine-tuned model, ready to predict."""

    encoder: SelformerEncoder
    classifier: nn.Module
    task: Task
    domain: Domain
    folder: Path

    @classmethod
    def load(cls, name: str, device: torch.device | str = "cpu") -> Self:
        """The model of a run or a folder.

        Raises:
            VlcliError: W315 when it predicts no property, W313 when it is another method's; other W codes for damaged
                files.
        """
        from transformers import RobertaForSequenceClassification

        folder = model_folder(name)
        encoder = SelformerEncoder.restore(folder)
        path = folder / NOTATION_FILE
        content = read_json(path) if path.is_file() else {}
        if not isinstance(content, dict) or not content.get("task"):
            raise VlcliError("W315", name, "predicts no property",
                             "fine-tune it first: vlcli molecules finetune DATA --target COLUMN --from "
                             f"{name} -o DIR")  # fmt: skip
        task = Task.from_json(content["task"])
        model = load_pretrained(RobertaForSequenceClassification, folder)
        if int(model.config.num_labels) != task.outputs:
            raise VlcliError("W311", str(folder), f"has {model.config.num_labels} outputs for {task.outputs} targets",
                             "restore the folder, or train the model again")  # fmt: skip
        encoder.roberta = model.roberta
        domain = Domain.load(folder, content.get("domain"))
        return cls(encoder.to(device).eval(), model.classifier.to(device).eval(), task, domain, folder)

    def predict(self, molecules: Sequence[Molecule]) -> Predictions:
        """Predictions in the order of the molecules; each is independent of the others."""
        rows = self.encoder.token_ids([self.encoder.text(molecule) for molecule in molecules])
        outputs, embeddings = run_network(self.encoder, self.classifier, rows)
        smiles = [molecule.smiles for molecule in molecules]
        similarity, index = self.domain.nearest(smiles)
        return Predictions(
            self.task.scores(outputs), embeddings.numpy(), similarity, [self.domain.smiles[one] for one in index],
            similarity >= self.domain.threshold,
        )  # fmt: skip


@torch.no_grad()
def run_network(
    encoder: SelformerEncoder, classifier: nn.Module | None, rows: Sequence[torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Head outputs `[N, outputs]` (empty without a head) and embeddings `[N, D]` on the CPU, in the rows' order."""
    device = next(encoder.parameters()).device
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
    outputs: list[torch.Tensor] = [torch.empty(0)] * len(rows)
    embeddings: list[torch.Tensor] = [torch.empty(0)] * len(rows)
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        inputs = to_device(encoder.pad([rows[index] for index in chosen]), device)
        states = encoder.states(inputs)
        pooled = mean_over_tokens(states, inputs["attention_mask"]).float().cpu()
        found = classifier(states).float().cpu() if classifier is not None else torch.empty(len(chosen), 0)
        for place, index in enumerate(chosen):
            outputs[index], embeddings[index] = found[place], pooled[place]
    if not rows:
        return torch.empty(0, 0), torch.empty(0, encoder.dim)
    return torch.stack(outputs), torch.stack(embeddings)
