"""What is fuzzed: every reader of a file that a stranger may have made.

A target has valid originals, a strategy that damages them, and a function that reads the result as vlcli would. The
reader may accept it or refuse it with a `VlcliError`; any other exception is a crash.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from fuzz_mutations import mutated, mutated_json
from hypothesis import strategies as st
from PIL import Image, features

from vlcli.api import Source
from vlcli.errors import VlcliError
from vlcli.plugins import load_plugins
from vlcli.registry import Registry

ROOT = Path(__file__).resolve().parents[2]
Case = tuple[str, bytes]
"""File name and content."""


@dataclass(frozen=True)
class Target:
    """A reader and what it is given.

    Attributes:
        cases: gives file names and contents.
        read: reads a file that holds one.
    """

    cases: st.SearchStrategy[Case]
    read: Callable[[Path], object]


def attempt(target: Target, folder: Path, case: Case) -> str:
    """Read one case; gives `accepted`, or the code of the refusal. Anything else escapes."""
    path = folder / case[0]
    path.write_bytes(case[1])
    try:
        target.read(path)
    except VlcliError as error:
        str(error)
        return error.code
    return "accepted"


def image_target(folder: Path) -> Target:
    """Pictures in every format that is read, loaded and previewed."""
    from vlcli_images.modality import ImagesModality

    modality = ImagesModality()
    originals = pictures()

    def read(path: Path) -> None:
        source = Source(id=path.name, path=path)
        modality.load(source, min_side=24)
        modality.preview(source, 32)

    names = [name for name, _ in originals]
    cases = mutated([data for _, data in originals]).map(lambda found: (f"picture{names[found[0]]}", found[1]))
    return Target(cases, read)


def pictures() -> list[tuple[str, bytes]]:
    """Small valid pictures: extension and content."""
    rng = np.random.default_rng(0)
    colour = Image.fromarray(rng.integers(0, 255, (48, 60, 3), dtype=np.uint8))
    deep = Image.fromarray(rng.integers(0, 65535, (20, 20), dtype=np.uint16))
    exif = Image.Exif()
    exif[0x0112] = 6
    wanted: list[tuple[str, Image.Image, dict[str, object]]] = [
        (".jpg", colour, {"exif": exif, "quality": 80}), (".jpg", colour, {"progressive": True}),
        (".jpg", colour.convert("CMYK"), {}), (".png", colour, {}), (".png", colour.convert("P"), {}),
        (".png", deep, {}), (".png", colour.convert("RGBA"), {"exif": exif}), (".webp", colour, {}),
        (".webp", colour, {"lossless": True}), (".bmp", colour, {}), (".gif", colour.convert("P"), {}),
        (".gif", colour.convert("P"), {"save_all": True, "append_images": [colour.convert("P").rotate(9)]}),
        (".tiff", colour, {"compression": "tiff_lzw"}), (".tiff", deep, {}), (".tiff", colour, {"compression": "jpeg"}),
        (".webp", colour, {"save_all": True, "append_images": [colour.rotate(9)]}),
    ]  # fmt: skip
    if features.check("avif"):
        wanted.append((".avif", colour, {}))
    found = []
    for extension, picture, options in wanted:
        buffer = io.BytesIO()
        form = {".jpg": "JPEG"}.get(extension, extension[1:].upper())
        picture.save(buffer, form, **options)
        found.append((extension, buffer.getvalue()))
    return found


def recipe_target(folder: Path) -> Target:
    """Recipes, read, merged and checked as `vlcli recipes check` does."""
    from vlcli.recipe import load_recipe

    registry = registry_of()
    files = sorted(ROOT.glob("recipes/*.toml")) + sorted(ROOT.glob("plugins/*/src/*/recipes/*.toml"))
    originals = [file.read_bytes() for file in files]
    cases = mutated(originals).map(lambda found: ("fuzzed.toml", found[1]))
    return Target(cases, lambda path: load_recipe(str(path), registry))


def manifest_target(folder: Path) -> Target:
    """Tables of inputs: CSV, TSV, JSON lines, Parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from vlcli.data.inputs import expand_inputs

    registry = registry_of()
    (folder / "a.png").write_bytes(dict(pictures())[".png"])
    columns = {
        "path": ["a.png", "b.png", "../c.png"],
        "caption": ["one", 'two, "2"', "drei\nvier"],
        "label": [1, 2.5, None],
    }
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns | {"label": [1.0, 2.5, None]}), buffer)
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    originals = [
        (".csv", b'path,caption,label\na.png,one,1\nb.png,"two, ""2""",2.5\n../c.png,"drei\nvier",\n'),
        (".csv", b"text;label\nein Satz;1\nnoch einer;2\n"), (".tsv", b"path\tcaption\na.png\tone\nb.png\ttwo\n"),
        (".jsonl", lines.encode()), (".parquet", buffer.getvalue()), (".txt", b"one\ntwo\n\nthree\n"),
    ]  # fmt: skip
    names = [name for name, _ in originals]
    cases = mutated([data for _, data in originals]).map(lambda found: (f"table{names[found[0]]}", found[1]))
    return Target(cases, lambda path: list(expand_inputs([str(path)], registry)))


def space_target(folder: Path) -> Target:
    """`space.json` of a saved space, its values replaced or its bytes damaged."""
    from vlcli.align.load import load_space

    registry = registry_of()
    saved = saved_space(folder / "space", registry)
    text = (saved / "space.json").read_bytes()
    cases = st.one_of(mutated_json(json.loads(text)), mutated([text]).map(lambda found: found[1]))
    return Target(cases.map(lambda data: ("space/space.json", data)),
                  lambda path: load_space(str(path.parent), registry, "cpu"))  # fmt: skip


def safetensors_target(folder: Path) -> Target:
    """The weights of a saved space: the header's JSON, its length, the data."""
    from vlcli.align.load import load_space

    registry = registry_of()
    saved = saved_space(folder / "space", registry)
    data = (saved / "weights.safetensors").read_bytes()
    length = int.from_bytes(data[:8], "little")
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]

    def with_header(text: bytes) -> bytes:
        return len(text).to_bytes(8, "little") + text + body

    inside = mutated([data[: 8 + length]]).map(lambda found: found[1] + body)
    cases = st.one_of(mutated_json(header).map(with_header), inside, mutated([data]).map(lambda found: found[1]))
    return Target(cases.map(lambda content: ("space/weights.safetensors", content)),
                  lambda path: load_space(str(path.parent), registry, "cpu"))  # fmt: skip


def saved_space(folder: Path, registry: Registry) -> Path:
    """A small untrained space in a folder."""
    import torch

    from vlcli.align.projection import build_head
    from vlcli.align.space import Space, Tower

    torch.manual_seed(0)
    towers = {}
    for modality, name, options in (
        ("images", "images/small-cnn", {"side": 16, "width": 8, "dim": 8}),
        ("text", "text/small-gru", {"vocabulary_size": 16, "width": 8, "dim": 8, "max_words": 8}),
    ):
        entry = registry.find("encoder", name)
        checked = registry.check_options(entry, options)
        encoder = registry.load(entry)(**checked)
        if modality == "text":
            encoder.fit(["a red circle", "a blue square"])
        towers[modality] = Tower(encoder, build_head({"kind": "linear", "dim": 8}, encoder.dim), entry.name, checked)
    Space("fuzzed", towers).save(folder)
    return folder


def registry_of() -> Registry:
    """Everything that is installed."""
    return load_plugins().registry


TARGETS: dict[str, Callable[[Path], Target]] = {
    "image": image_target,
    "recipe": recipe_target,
    "manifest": manifest_target,
    "space.json": space_target,
    "safetensors": safetensors_target,
}
