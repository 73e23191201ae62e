"""A registry with two small modalities, so that these tests need no plugin."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vlcli.api import DatasetSpec, ModalitySpec, Source
from vlcli.data import Example
from vlcli.data.collate import pad_and_stack
from vlcli.data.files import check_file
from vlcli.data.names import printable
from vlcli.errors import VlcliError
from vlcli.registry import Registry


class Toys:
    """Files whose content is a word; `bad` in it is refused."""

    name = "toys"

    def expand(self, path: Path) -> Iterator[Source]:
        yield Source(id=printable(path), path=path)

    def load(self, source: Source) -> Any:
        assert source.path is not None
        check_file(source.path)
        text = source.path.read_text()
        if "bad" in text:
            raise VlcliError("D399", source.id, "holds something bad")
        return text

    def collate(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        return pad_and_stack(inputs)

    def preview(self, source: Source, size: int = 256) -> bytes:
        import io

        from PIL import Image

        self.load(source)
        buffer = io.BytesIO()
        Image.new("RGB", (size, size), (20, 120, 60)).save(buffer, "PNG")
        return buffer.getvalue()


class Lines(Toys):
    """Texts; a `.txt` file holds one a line."""

    name = "text"

    def expand(self, path: Path) -> Iterator[Source]:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            yield Source(id=f"{printable(path)}#{number}", value=line)

    def load(self, source: Source) -> Any:
        return source.value


class TwoToys:
    """A data set of two examples."""

    def __init__(self) -> None:
        self.examples = [
            Example(
                f"e{n}", {"text": Source(id=f"e{n}", value=f"toy {n}")}, (f"a toy {n}", "x"), "toy", "test", {"n": n}
            )
            for n in range(2)
        ]  # fmt: skip

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int, /) -> Example:
        return self.examples[index]


@pytest.fixture
def registry() -> Registry:
    registry = Registry()
    toys = ModalitySpec(name="toys", summary="", target=f"{__name__}:Toys", extensions=(".toy", ".both"))
    text = ModalitySpec(name="text", summary="", target=f"{__name__}:Lines", extensions=(".txt", ".both"))
    registry.add("tests", "modality", toys)
    registry.add("tests", "modality", text)
    registry.add("tests", "dataset", DatasetSpec(name="two-toys", summary="", target=f"{__name__}:TwoToys"))
    return registry
