"""The process in which RDKit works on what comes from files: one JSON object a line in, one a line out.

Started by `vlcli_molecules.guard`; it imports no torch. A crash, a stack overflow or an endless search ends this
process alone.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from vlcli.errors import VlcliError
from vlcli_molecules.options import Notation

MEMORY_BYTES = 4 << 30


def serve() -> None:
    """Answer requests until the input ends, that is until the parent is gone."""
    # RDKit's and InChI's C code may print; that must not fall between the answers.
    answers = os.fdopen(os.dup(1), "wb")
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    # An interrupt on the terminal is for the parent, whose end ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    limit_resources()
    for line in sys.stdin.buffer:
        answers.write(json.dumps(answer(json.loads(line))).encode() + b"\n")
        answers.flush()


def limit_resources() -> None:
    """A ceiling on memory and no core files, where the operating system has them."""
    try:
        import resource
    except ImportError:  # Windows
        return
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    ceiling = MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(MEMORY_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_AS, (ceiling, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """The result of a request, or the error that refuses it."""
    try:
        return {"result": OPERATIONS[request.pop("operation")](**request)}
    except VlcliError as error:
        return {"error": [error.code, error.message, error.help]}
    except MemoryError:
        return {"error": ["D633", "RDKit needs more memory for it than is allowed", "leave it out"]}
    except Exception as error:  # noqa: BLE001 (RDKit raises what it likes: the structure is refused, with its words)
        said = (str(error).strip().splitlines() or [""])[0][:200]
        return {"error": ["D611", f"RDKit can not work on it ({type(error).__name__}: {said})", "leave it out"]}


def parse(text: str, notation: str, options: dict[str, str]) -> dict[str, Any]:
    """See `vlcli_molecules.structure.parse`."""
    from vlcli_molecules.structure import StructureOptions
    from vlcli_molecules.structure import parse as parse_here

    found = parse_here(text, notation=notation, options=StructureOptions(**options))  # type: ignore[arg-type]
    return {"smiles": found.smiles, "selfies": found.selfies, "source": found.source, "notes": found.notes}


def check_smarts(smarts: str) -> bool:
    """Whether RDKit reads a pattern; refused with its reason when not."""
    from vlcli_molecules.structure import read_smarts

    return read_smarts(smarts) is not None


def match(smarts: str, chirality: bool, structures: list[tuple[str, Notation]]) -> list[bool | list[str]]:
    """For each text and notation: whether the pattern is in it, or the code, message and help of its refusal."""
    from vlcli_molecules.structure import holds, read_smarts

    pattern = read_smarts(smarts)
    found: list[bool | list[str]] = []
    for text, notation in structures:
        try:
            found.append(holds(text, notation, pattern, chirality))
        except VlcliError as error:
            found.append([error.code, error.message, error.help])
    return found


def draw(smiles: str, size: int) -> str:
    """See `vlcli_molecules.preview.draw_png`; base64."""
    from vlcli_molecules.preview import draw_png

    return base64.b64encode(draw_png(smiles, size)).decode()


OPERATIONS: dict[str, Callable[..., Any]] = {
    "parse": parse,
    "draw": draw,
    "check_smarts": check_smarts,
    "match": match,
}

if __name__ == "__main__":
    serve()
