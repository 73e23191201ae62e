"""Tokens for text and structures together, none of which loses a character.

The released models inherit T5's SentencePiece vocabulary, which has no token for some characters of SMILES (a
backslash, say): they become `<unk>`, and the double bond's geometry is gone. The tokenizer here works on bytes, so
nothing can be lost, and cuts structures into single characters (two-letter halogens apart), so that the same
atom is the same token everywhere. A tokenizer that comes with a checkpoint is examined before it is used.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlcli.errors import VlcliError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"
SPECIAL_TOKENS = (PAD, END, UNKNOWN)
"""In T5's order: pad 0 (which also starts the decoder), end 1, unknown 2."""

ACTIONS = (
    "ADD", "COLLECTLAYER", "CONCENTRATE", "DEGAS", "DRYSOLID", "DRYSOLUTION", "EXTRACT", "FILTER",
    "FOLLOWOTHERPROCEDURE", "INVALIDACTION", "MAKESOLUTION", "MICROWAVE", "NOACTION", "OTHERLANGUAGE", "PARTITION",
    "PHASESEPARATION", "PH", "PURIFY", "QUENCH", "RECRYSTALLIZE", "REFLUX", "SETTEMPERATURE", "SONICATE", "STIR",
    "TRITURATE", "WAIT", "WASH", "YIELD",
)  # fmt: skip
"""Kinds of action of Paragraph2Actions; no SMILES holds such a word, so they may be tokens of their own."""

WORD = r" ?[A-Za-z]?[a-z]+(?![^\s.,;:!?\-'])"
# A run of lower-case letters that ends at a blank or a mark is a word. In SMILES it ends at a ring number or a bracket.
PIECES = rf" ?(?:{'|'.join(ACTIONS)})(?![^\s.;])|{WORD}|Br|Cl|[\s\S]"

SMILES_CHARACTERS = "".join(sorted(set(
    "ABCDEFGHIKLMNOPRSTUVWXYZabcdefghiklmnoprstuy0123456789()[]{}.=#$:/\\@+-%*~>&"
)))  # fmt: skip
"""Characters of SMILES and of reactions, including `~` and `>`; letters that begin or end no element are left out."""

SAMPLES = ("C/C=C\\C", "[Na+]~[Cl-]", "C[C@@H](N)C(=O)O", "C#N", "[13CH4]", "c1ccc2[nH]ccc2c1", "C%12CC%12", "CC>>CO")
"""Structures that a tokenizer has to give back unchanged."""


def train_tokenizer(texts: Iterable[str], size: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer whose words are learnt from `texts`; structures stay single characters.

    Args:
        texts: inputs with their prompts, and outputs, of the training split.
        size: tokens in all, at least 259 (256 bytes and the special tokens).
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PIECES), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])  # fmt: skip
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {END}", special_tokens=[(END, SPECIAL_TOKENS.index(END))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, eos_token=END, unk_token=UNKNOWN, clean_up_tokenization_spaces=False
    )


def lost_characters(tokenizer: Any) -> list[str]:
    """Characters of SMILES that the tokenizer does not give back; blanks that decoding adds do not count."""
    lost = [character for character in SMILES_CHARACTERS if not survives(tokenizer, f"C{character}C")]
    # Two characters can be lost together where each alone is kept.
    if not lost:
        lost = [sample for sample in SAMPLES if not survives(tokenizer, sample)]
    return lost


def survives(tokenizer: Any, text: str) -> bool:
    """Whether a structure comes back unchanged."""
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    return without_blanks(tokenizer.decode(ids, skip_special_tokens=True)) == text


def without_blanks(text: str) -> str:
    """A structure without the blanks that a decoder put between pieces; no SMILES has any."""
    return "".join(text.split())


def load_tokenizer(folder: Path, *, add_missing: bool) -> Any:
    """The tokenizer in a checkpoint folder, examined.

    Args:
        add_missing: add the characters that it would lose as tokens of their own; the model's embeddings must then
            grow, and the new ones have to be trained.

    Raises:
        VlcliError: W204 when it can not be read, W231 when it loses characters of SMILES.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        reason = (str(error).strip().splitlines() or [""])[0]
        raise VlcliError("W204", str(folder), f"its tokenizer can not be loaded ({reason})",
                         "restore tokenizer.json from the checkpoint's source") from error  # fmt: skip
    lost = lost_characters(tokenizer)
    if not lost:
        return tokenizer
    if add_missing:
        tokenizer.add_tokens([text for text in lost if len(text) == 1])
        lost = lost_characters(tokenizer)
    if lost:
        help = "set method.add_missing_characters = true, which gives each a token of its own to be trained"
        if add_missing:
            help = "use another checkpoint, or train the tokenizer in the recipe (leave method.checkpoint out)"
        raise VlcliError("W231", str(folder), f"its tokenizer loses these parts of SMILES: {'  '.join(lost)}", help)
    return tokenizer
