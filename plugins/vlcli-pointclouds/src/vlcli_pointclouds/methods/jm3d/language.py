"""The language model behind a captioner: one from a folder or the hub, or a small one for the captions at hand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vlcli.align.checkpoints import load_pretrained, open_checkpoint
from vlcli.align.vocabulary import CLS, PAD, SEP, SPECIAL_TOKENS, UNK, train_word_tokenizer
from vlcli.errors import VlcliError


def small_tokenizer(texts: Iterable[str], size: int) -> Any:
    """Whole words of the captions as a tokenizer of transformers; `[CLS]` begins a text and `[SEP]` ends one."""
    from tokenizers import decoders
    from transformers import PreTrainedTokenizerFast

    words = train_word_tokenizer(texts, size)
    words.decoder = decoders.WordPiece()
    return PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token=SPECIAL_TOKENS[PAD], unk_token=SPECIAL_TOKENS[UNK],
        bos_token=SPECIAL_TOKENS[CLS], eos_token=SPECIAL_TOKENS[SEP], clean_up_tokenization_spaces=True,
    )  # fmt: skip


def small_language_model(vocabulary: int, width: int, layers: int, heads: int, positions: int) -> Any:
    """A GPT-2 with fresh weights.

    Raises:
        VlcliError: T365 when the heads do not divide the width.
    """
    from transformers import GPT2Config, GPT2LMHeadModel

    if width % heads:
        raise VlcliError("T365", "method.heads", f"{heads} heads do not divide a width of {width}", "change one")
    config = GPT2Config(
        vocab_size=vocabulary, n_embd=width, n_layer=layers, n_head=heads, n_positions=positions,
        bos_token_id=CLS, eos_token_id=SEP, pad_token_id=None, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    )  # fmt: skip
    return GPT2LMHeadModel(config)


def load_language_model(name: str) -> tuple[Any, Any]:
    """Model and tokenizer from a folder or a hub name; safetensors only.

    Raises:
        VlcliError: W201 to W204, W103 to W105 when it is missing, damaged, or no causal language model.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = open_checkpoint(name)
    model = load_pretrained(AutoModelForCausalLM, folder)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        reason = (str(error).strip().splitlines() or [""])[0]
        raise VlcliError("W204", str(folder), f"the tokenizer can not be loaded ({reason})",
                         "restore the checkpoint from its source") from error  # fmt: skip
    if tokenizer.eos_token_id is None:
        raise VlcliError("W204", str(folder), "its tokenizer has no end-of-text token", "use a causal language model")
    return model, tokenizer


def save_language_model(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write both as `from_pretrained` reads them."""
    with without_bars():
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@contextmanager
def without_bars() -> Iterator[None]:
    """No progress bars of transformers, which writes one even for a single small file."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def first_token(tokenizer: Any) -> int:
    """What begins a text: the tokenizer's own token for it, or, where it has none (GPT-2), the one that ends a text."""
    return int(tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id)


def padding_token(tokenizer: Any) -> int:
    """What fills short rows; it is never attended to."""
    return int(tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id)


def ids_of(tokenizer: Any, text: str) -> list[int]:
    """Token ids of a text alone."""
    return [int(token) for token in tokenizer(text, add_special_tokens=False)["input_ids"]]
