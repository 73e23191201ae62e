"""Captions of motions: a causal language model reads LaMP's queries as a prefix and goes on in words.

LaMP's M2T (section on captioning): the queries' states about a motion, projected to the width of the language model's
embeddings, come before the words; LoRA (Hu et al., ICLR 2022) adapts the frozen language model, which in the paper is
OPT-2.7B. Any causal language model of transformers will do; without one a small GPT-2 is taught the captions' language
first.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional

from vlcli.align.checkpoints import load_pretrained, open_checkpoint, read_config, read_json
from vlcli.align.vocabulary import SPECIAL_TOKENS
from vlcli.align.weights import read_safetensors
from vlcli.errors import VlcliError
from vlcli.runtime.tensors import save_tensors
from vlcli.train.method import freeze
from vlcli_motion.methods.lamp.generation_options import CaptionerOptions

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FOLDER, LANGUAGE_FOLDER, ADAPTER_FOLDER = "captioner", "language", "adapter"
JSON_FILE, WEIGHTS_FILE = "captioner.json", "projection.safetensors"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
IGNORED = -100
"""Label of what is not asked: no loss."""
RESTORE = "restore the folder, or train the model again"


class CaptionerFile(BaseModel):
    """`captioner.json`.

    Attributes:
        language: the checkpoint that was adapted; empty when the model's own folder holds it.
        prefix_width: of LaMP's queries.
    """

    model_config = ConfigDict(extra="forbid", strict=True)
    format_version: int = Field(alias="schema", ge=1, le=1)
    language: str
    prefix_width: Annotated[int, Field(ge=1, le=65536)]
    max_words: Annotated[int, Field(ge=1, le=4096)]
    beams: Annotated[int, Field(ge=1, le=64)]


def small_language_model(options: CaptionerOptions, vocabulary: int, positions: int) -> nn.Module:
    """A GPT-2 with fresh weights."""
    from transformers import GPT2Config, GPT2LMHeadModel

    _, _, begin, end, _ = range(len(SPECIAL_TOKENS))
    config = GPT2Config(
        vocab_size=vocabulary, n_positions=positions, n_embd=options.width, n_layer=options.layers,
        n_head=options.heads, bos_token_id=begin, eos_token_id=end,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    )  # fmt: skip
    model: nn.Module = GPT2LMHeadModel(config)
    return model


def word_tokenizer(tokenizer: Tokenizer) -> Any:
    """LaMP's tokenizer of words as transformers knows it."""
    from transformers import PreTrainedTokenizerFast

    padding, unknown, begin, end, mask = SPECIAL_TOKENS
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=padding, unk_token=unknown, bos_token=begin, eos_token=end,
        mask_token=mask,
    )  # fmt: skip


def caption_ids(tokenizer: Any, texts: Sequence[str], longest: int) -> tuple[Tensor, Tensor]:
    """Begin, words, end: ids and mask `[B, L]`; longer texts are cut before the end."""
    begin, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    words = tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    rows = [torch.tensor([*([begin] if begin is not None else []), *row[: longest - 2], end]) for row in words]
    padding = end if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    ids = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=padding)
    return ids, torch.arange(ids.shape[1]) < torch.tensor([len(row) for row in rows])[:, None]


def language_loss(model: nn.Module, ids: Tensor, mask: Tensor) -> Tensor:
    """Mean cross-entropy of each word given those before it, `[B, L]` without any prefix."""
    logits = model(input_ids=ids, attention_mask=mask.long()).logits
    return next_word_loss(logits, ids.masked_fill(~mask, IGNORED))


def next_word_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of labels `[B, L]` given logits `[B, L, V]` at the place before each."""
    return functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORED)


class Captioner(nn.Module):
    """A language model with LoRA, and the projection of LaMP's queries to its embeddings.

    Args:
        language: a causal language model of transformers; its own weights are frozen for good.
        tokenizer: its, as transformers knows it.
        prefix_width: D of the queries.
        options: rank and scale of LoRA, longest caption, beams.
        adapter: folder of a trained LoRA; a fresh one, which changes nothing yet, without.
    """

    def __init__(
        self, language: nn.Module, tokenizer: Any, prefix_width: int, options: CaptionerOptions,
        adapter: Path | None = None,
    ) -> None:  # fmt: skip
        from peft import LoraConfig, PeftModel, get_peft_model

        super().__init__()
        self.tokenizer, self.prefix_width = tokenizer, prefix_width
        self.checkpoint, self.max_words, self.beams = options.checkpoint or "", options.max_words, options.beams
        with warnings.catch_warnings():
            # PEFT still asks transformers by a name that is to go.
            warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
            if adapter is None:
                adapted = LoraConfig(
                    task_type="CAUSAL_LM", r=options.lora_rank, lora_alpha=options.lora_alpha,
                    lora_dropout=options.lora_dropout, target_modules=lora_targets(language),
                    fan_in_fan_out=language.config.model_type == "gpt2",  # type: ignore[union-attr]
                )  # fmt: skip
                self.language: Any = get_peft_model(language, adapted)  # type: ignore[arg-type]
            else:
                self.language = PeftModel.from_pretrained(language, adapter, local_files_only=True)  # type: ignore[arg-type]
        freeze(self.language, ("*lora_*",))
        width = self.language.get_input_embeddings().weight.shape[1]
        self.projection = nn.Sequential(nn.LayerNorm(prefix_width), nn.Linear(prefix_width, width))

    def prefix(self, states: Tensor) -> Tensor:
        """Queries `[B, Q, D]` as embeddings of the language model `[B, Q, W]`, at the size of its words' vectors."""
        scale = self.language.get_input_embeddings().weight.detach().std()
        projected: Tensor = self.projection(states) * scale
        return projected

    def loss(self, states: Tensor, captions: Sequence[str]) -> Tensor:
        """Mean cross-entropy of the captions' tokens given the queries `[B, Q, D]`."""
        ids, mask = (tensor.to(states.device) for tensor in caption_ids(self.tokenizer, captions, self.max_words))
        prefix = self.prefix(states)
        embedded = torch.cat([prefix, self.language.get_input_embeddings()(ids)], dim=1)
        before = torch.ones(prefix.shape[:2], dtype=torch.long, device=states.device)
        labels = torch.cat([before.new_full(before.shape, IGNORED), ids.masked_fill(~mask, IGNORED)], dim=1)
        seen = torch.cat([before, mask.long()], dim=1)
        return next_word_loss(self.language(inputs_embeds=embedded, attention_mask=seen).logits, labels)

    @torch.no_grad()
    def write(self, states: Tensor, batch_size: int = 64) -> list[str]:
        """A caption for each motion from its queries `[B, Q, D]`: the most probable, by greedy or beam search."""
        if not len(states):
            return []
        training = self.training
        self.eval()
        tokenizer, texts = self.tokenizer, []
        padding = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        for part in torch.split(states, batch_size):
            prefix = self.prefix(part)
            if tokenizer.bos_token_id is not None:
                begin = torch.full((len(part), 1), tokenizer.bos_token_id, device=part.device)
                prefix = torch.cat([prefix, self.language.get_input_embeddings()(begin)], dim=1)
            made = self.language.generate(
                inputs_embeds=prefix, attention_mask=torch.ones(prefix.shape[:2], dtype=torch.long, device=part.device),
                max_new_tokens=self.max_words, num_beams=self.beams, do_sample=False,
                eos_token_id=tokenizer.eos_token_id, pad_token_id=padding,
            )  # fmt: skip
            texts += [tidy(text) for text in tokenizer.batch_decode(made, skip_special_tokens=True)]
        self.train(training)
        return texts

    def save(self, folder: Path) -> None:
        """`captioner.json`, the projection, LoRA's adapter and, unless it is a checkpoint's, the language model."""
        from vlcli.runtime.quiet import without_bars

        folder.mkdir(parents=True, exist_ok=True)
        with without_bars():
            self.language.save_pretrained(folder / ADAPTER_FOLDER, safe_serialization=True)
            if not self.checkpoint:
                base = self.language.get_base_model()
                weights = {name.replace(".base_layer.", "."): value for name, value in base.state_dict().items()
                           if ".lora_" not in name}  # fmt: skip
                base.save_pretrained(folder / LANGUAGE_FOLDER, state_dict=weights)
                self.tokenizer.save_pretrained(folder / LANGUAGE_FOLDER)
        tensors = {name: value.detach().cpu().contiguous() for name, value in self.projection.state_dict().items()}
        save_tensors(tensors, folder / WEIGHTS_FILE, {"format": "pt"})
        content = {"schema": 1, "language": self.checkpoint, "prefix_width": self.prefix_width,
                   "max_words": self.max_words, "beams": self.beams}  # fmt: skip
        (folder / JSON_FILE).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> Captioner:
        """Read what `save` wrote, in evaluation mode.

        Raises:
            VlcliError: W331 when the folder holds no captioner, W332 when a file is damaged, further W codes for
                the language model.
        """
        path = folder / JSON_FILE
        if not path.is_file():
            raise VlcliError("W331", str(folder), "holds no captioner",
                             "train with method.captioner.share above 0: vlcli run lamp-generation")  # fmt: skip
        try:
            content = TypeAdapter(CaptionerFile).validate_python(read_json(path))
        except ValidationError as error:
            raise VlcliError("W332", str(path), str(error.errors()[0]["msg"]), RESTORE) from error
        if not (folder / ADAPTER_FOLDER / ADAPTER_WEIGHTS).is_file():
            # Without it PEFT would look for a pickle.
            raise VlcliError("W332", str(folder / ADAPTER_FOLDER), f"holds no {ADAPTER_WEIGHTS}", RESTORE)
        language, tokenizer = load_language(content.language or str(folder / LANGUAGE_FOLDER))
        options = CaptionerOptions(
            checkpoint=content.language or None, max_words=content.max_words, beams=content.beams
        )
        try:
            model = cls(language, tokenizer, content.prefix_width, options, folder / ADAPTER_FOLDER)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            reason = (str(error).strip().splitlines() or [""])[0]
            raise VlcliError("W332", str(folder / ADAPTER_FOLDER), f"can not be read ({reason})", RESTORE) from error
        tensors = read_safetensors(folder / WEIGHTS_FILE, model.projection.state_dict())
        model.projection.load_state_dict(tensors)
        return model.to(device).eval()


def load_language(name: str) -> tuple[nn.Module, Any]:
    """A causal language model and its tokenizer from a folder or by a hub name; safetensors only, no remote code.

    Raises:
        VlcliError: W codes when it is missing or damaged, W333 when it is no causal language model.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    folder = open_checkpoint(name)
    if "auto_map" in read_config(folder):
        raise VlcliError(
            "W333", name, "needs code of its own, which is never run", "name a model that transformers has"
        )
    try:
        AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        reason = (str(error).strip().splitlines() or [""])[0]
        raise VlcliError("W333", name, f"its tokenizer or config can not be read ({reason})",
                         "name the folder of a causal language model with its tokenizer") from error  # fmt: skip
    if tokenizer.eos_token_id is None:
        raise VlcliError("W333", name, "its tokenizer has no token that ends a text", "choose another language model")
    model: nn.Module = load_pretrained(AutoModelForCausalLM, folder)
    return model, tokenizer


def lora_targets(language: nn.Module) -> list[str] | None:
    """Where LoRA goes: PEFT knows the attention layers of published models; else every linear layer of the blocks."""
    from peft.utils import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as KNOWN

    kind = language.config.model_type  # type: ignore[union-attr]
    if kind == "gpt2":
        # Wider than PEFT's choice: the small model has few layers.
        return ["c_attn", "c_proj", "c_fc"]
    return None if kind in KNOWN else "all-linear"  # type: ignore[return-value]


def tidy(text: str) -> str:
    """Words of a tokenizer of words as a sentence: no blank before a mark."""
    return re.sub(r"\s+([,.;:!?])", r"\1", re.sub(r"\s+", " ", text)).strip()
