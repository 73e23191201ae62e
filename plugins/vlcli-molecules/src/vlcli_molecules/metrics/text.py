"""Captions against the right ones: BLEU (sacrebleu), ROUGE (rouge-score) and METEOR without synonyms (nltk)."""

from __future__ import annotations

from collections.abc import Sequence

from vlcli_molecules.metrics.pairs import check_pairs, mean


def bleu(predictions: Sequence[str], references: Sequence[str], order: int = 4, *, characters: bool = False) -> float:
    """Corpus BLEU in [0, 1] up to n-grams of `order`, unsmoothed.

    Args:
        characters: compare characters, as is usual for SMILES, and not words (mteval's 13a tokens).

    Raises:
        VlcliError: E610 without pairs.
    """
    from sacrebleu.metrics.bleu import BLEU

    check_pairs(predictions, references)
    # Unsmoothed, as the scripts of MolT5 and Text+Chem T5: no shared n-gram of the highest order gives 0.
    measure = BLEU(max_ngram_order=order, smooth_method="none", tokenize="char" if characters else "13a")
    return float(measure.corpus_score(list(predictions), [list(references)]).score) / 100


def rouge(predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Mean F1 of ROUGE-1, ROUGE-2 and ROUGE-L, without stemming.

    Raises:
        VlcliError: E610 without pairs.
    """
    from rouge_score.rouge_scorer import RougeScorer  # type: ignore[import-untyped]

    check_pairs(predictions, references)
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"])
    scores = [scorer.score(right, written) for written, right in zip(predictions, references, strict=True)]
    return {name: mean([float(score[name].fmeasure) for score in scores]) for name in ("rouge1", "rouge2", "rougeL")}


class NoSynonyms:
    """Stands for WordNet, which is no package of this project: no word has a synonym."""

    def synsets(self, word: str) -> list[str]:
        """None."""
        return []


def meteor(predictions: Sequence[str], references: Sequence[str]) -> float:
    """Mean METEOR with its exact and stem stages; the synonym stage needs WordNet and is left out.

    The values therefore lie at or below those of papers.

    Raises:
        VlcliError: E610 without pairs.
    """
    from nltk.tokenize import wordpunct_tokenize  # type: ignore[import-untyped]
    from nltk.translate.meteor_score import single_meteor_score  # type: ignore[import-untyped]

    check_pairs(predictions, references)
    return mean([
        float(single_meteor_score(wordpunct_tokenize(right), wordpunct_tokenize(written), wordnet=NoSynonyms()))
        for written, right in zip(predictions, references, strict=True)
    ])  # fmt: skip


def text_scores(predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """All measures of text, each in [0, 1], higher is better; `exact` is the share of identical texts.

    Raises:
        VlcliError: E610 without pairs.
    """
    same = [float(written.strip() == right.strip()) for written, right in zip(predictions, references, strict=False)]
    return {
        "bleu2": bleu(predictions, references, 2),
        "bleu4": bleu(predictions, references, 4),
        **rouge(predictions, references),
        "meteor": meteor(predictions, references),
        "exact": mean(same),
    }
