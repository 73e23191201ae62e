"""What a substance is used for, as far as its names tell: dyes by their Colour Index names, drugs by their INN stems.

Stems: "The use of stems in the selection of International Nonproprietary Names" (WHO, 2018). A name tells a role only
where the stem ends it, so a role is left out rather than guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

DYE = re.compile(
    r"^(c\.?\s?i\.?\s+)?(disperse|acid|direct|solvent|basic|vat|reactive|mordant|food|pigment)\s+"
    r"(yellow|red|blue|green|black|orange|violet|brown|white)\b"
)
STEMS = (
    (r"cillin", "an antibacterial drug and an antibiotic"),
    (r"(mycin|micin|cycline|oxacin|penem)", "an antibacterial drug and an antibiotic"),
    (r"(conazole|fungin)", "an antifungal drug"),
    (r"(nidazole)", "an antiprotozoal drug"),
    (r"(bendazole)", "an anthelmintic drug"),
    (r"(ciclovir|navir|vudine|buvir)", "an antiviral drug"),
    (r"caine", "a local anaesthetic"),
    (r"(azepam|azolam)", "an anxiolytic drug and a sedative"),
    (r"barbital", "a sedative and an anticonvulsant"),
    (r"[aeo]lol", "a beta-adrenergic antagonist and an antihypertensive agent"),
    (r"prilat?", "an inhibitor of angiotensin-converting enzyme and an antihypertensive agent"),
    (r"sartan", "an angiotensin receptor antagonist and an antihypertensive agent"),
    (r"dipine", "a calcium channel blocker and a vasodilator agent"),
    (r"vastatin", "an inhibitor of cholesterol synthesis"),
    (r"(profen|fenac|oxicam|coxib)", "a non-steroidal anti-inflammatory drug and an analgesic"),
    (r"(prazole)", "a proton pump inhibitor and an anti-ulcer drug"),
    (r"tidine", "a histamine receptor antagonist and an anti-ulcer drug"),
    (r"(triptyline|pramine|oxetine)", "an antidepressant"),
    (r"(peridol|perone|azine\b(?<=phenazine)|promazine)", "an antipsychotic agent"),
    (r"(asone|olone|onide)", "a glucocorticoid and an anti-inflammatory agent"),
    (r"(estradiol|oestradiol|estrol)", "an estrogen"),
    (r"(terone|testosterone)", "an androgen or a progestogen"),
    (r"thiazide", "a diuretic"),
    (r"semide", "a loop diuretic"),
    (r"(platin|rubicin|mustine|trexate)", "an antineoplastic agent"),
    (r"(orphan|orphine|fentanil)", "an opioid analgesic"),
    (r"(terol)", "a bronchodilator agent"),
    (r"(triptan)", "a serotonergic agonist"),
    (r"thrin", "a pyrethroid insecticide"),
    (r"(fos|phos)", "an organophosphate pesticide"),
    (r"(sulfuron|uron)", "a herbicide"),
    (r"sulfa[a-z]+", "an antibacterial drug"),
)
COMPILED = tuple((re.compile(rf"^[a-z]{{2,}}{stem}$"), role) for stem, role in STEMS)
KEYWORDS = (
    (re.compile(r"\bindicator\b|phthalein$"), "an indicator dye"),
    (re.compile(r"\bvitamin\b"), "a vitamin"),
    (re.compile(r"\b(musk|ionone|perfume)\b"), "a fragrance"),
)


def roles_of(names: Iterable[str]) -> tuple[str, ...]:
    """Roles with their article ("a dye", "a local anaesthetic"), the most certain first, without repetition."""
    found: dict[str, None] = {}
    for name in names:
        text = name.casefold()
        if DYE.match(text):
            found["a dye"] = None
        for pattern, role in (*COMPILED, *KEYWORDS):
            if pattern.search(text):
                found[role] = None
    return tuple(found)
