"""The modality `text`: one item a line of a `.txt` file, one item for a whole `.md` file."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vlcli.api import Source, VlcliError
from vlcli.data.files import check_file
from vlcli.data.names import printable

MAX_FILE_BYTES = 10_000_000
MAX_CHARACTERS = 1_000_000
PREVIEW_CHARACTERS = 600


class Text:
    """Sentences and documents in UTF-8. The canonical form of an item is a `str` without outer white space."""

    name = "text"

    def expand(self, path: Path) -> Iterator[Source]:
        """Each line of a `.txt` that is not blank, as `file.txt#LINE`; any other file is one item.

        Bytes that are not UTF-8 stay in the line as surrogates, so `load` refuses that line alone.
        """
        if path.suffix.lower() != ".txt":
            yield Source(id=printable(path), path=path)
            return
        check_file(path)
        name = printable(path)
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline=None) as file:
            number = 0
            # A bounded read: a file without line ends must not fill the memory.
            while line := file.readline(MAX_CHARACTERS + 1):
                number += 1
                if len(line) > MAX_CHARACTERS and not line.endswith("\n"):
                    while (rest := file.readline(MAX_CHARACTERS)) and not rest.endswith("\n"):
                        pass
                elif not line.strip():
                    continue
                place = {"file": name, "line": number}
                yield Source(id=f"{name}#{number}", value=line.rstrip("\n"), metadata=place)

    def load(self, source: Source) -> str:
        """The text of a source.

        Raises:
            VlcliError: D111-D115 for a file itself, D311 too long, D312 not UTF-8, D313 empty, D314 NUL bytes in it.
        """
        text = source.value if source.value is not None else self.read_file(source)
        if len(text) > MAX_CHARACTERS:
            raise VlcliError("D311", source.id, f"the text is longer than {MAX_CHARACTERS:,} characters",
                             "split it into lines")  # fmt: skip
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise VlcliError("D312", source.id, "the text is not valid UTF-8", "save the file as UTF-8") from error
        if "\0" in text:
            raise VlcliError("D314", source.id, "holds NUL bytes, so it is not a text", "remove it from the inputs")
        text = text.strip()
        if not text:
            raise VlcliError("D313", source.id, "the text is empty", "remove it from the inputs")
        return text

    def read_file(self, source: Source) -> str:
        """A whole file as text, bad bytes as surrogates."""
        assert source.path is not None
        check_file(source.path, limit=MAX_FILE_BYTES)
        return source.path.read_bytes().decode("utf-8-sig", errors="surrogateescape")

    def collate(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        """Pad ids and masks at the end to the longest text, `[B, T]`."""
        from vlcli.data.collate import pad_and_stack

        return pad_and_stack(inputs)

    def preview(self, source: Source, size: int = 256) -> bytes:
        """The beginning of the text, set in a square of `size` pixels, as PNG."""
        from PIL import Image, ImageDraw, ImageFont

        letter = max(10, size // 14)
        font = ImageFont.load_default(letter)
        text = " ".join(self.load(source)[:PREVIEW_CHARACTERS].split())
        # The default font's letters are about half as wide as high.
        lines = textwrap.wrap(text, max(8, int(size * 0.9 / (letter * 0.55))))[
            : max(1, int(size * 0.9 / (letter * 1.3)))
        ]
        image = Image.new("RGB", (size, size), "white")
        ImageDraw.Draw(image).multiline_text((size * 0.05, size * 0.05), "\n".join(lines), fill="black", font=font)
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        return buffer.getvalue()
