"""Running vlcli's commands under faults, from a test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from harness import shim
from harness.shim import Faults

ZYGOTE = Path(__file__).with_name("zygote.py")


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        code: exit code; negative for a signal.
        changes: how many changes to files below the watched folder there were, of which `failed` were made to fail.
        marks: what it had acknowledged.
    """

    code: int
    seconds: float
    changes: int
    failed: int
    marks: list[str]
    stdout: str
    stderr: str
    late: bool = False

    @property
    def killed(self) -> bool:
        """Whether it was ended by SIGKILL."""
        return self.code == -9

    def last(self, word: str) -> list[str] | None:
        """The fields of the last mark that begins with a word."""
        found = [mark.split()[1:] for mark in self.marks if mark.split()[0] == word]
        return found[-1] if found else None


class Commands:
    """A zygote that runs commands; use it as a context manager.

    Args:
        folder: for its own files, outside whatever is watched.
        recording: whether the shim is to be there (it needs a C compiler).
    """

    def __init__(self, folder: Path, *, recording: bool = True) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        environment = os.environ | {
            "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1",
            "VLCLI_HOME": str(folder / "home"),
        }  # fmt: skip
        if recording:
            environment["LD_PRELOAD"] = str(shim.build(folder))
        self.number = 0
        self.errors = (folder / "zygote.txt").open("w", encoding="utf-8")
        self.process = subprocess.Popen([sys.executable, str(ZYGOTE)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.errors, text=True, env=environment)  # fmt: skip
        assert self._answer()["shim"] == recording

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process that runs commands ended: {(self.folder / 'zygote.txt').read_text()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)
        self.errors.close()

    def run(self, *argv: str, cwd: Path, faults: Faults | None = None, **order: Any) -> Ended:
        """Run one command to its end, or until it is killed (`kill_after` seconds, or by the shim)."""
        files = {name: str(self.folder / f"{name}.txt") for name in ("stdout", "stderr", "marks")}
        for file in files.values():
            Path(file).write_text("")
        order |= {"argv": list(argv), "cwd": str(cwd), "faults": None if faults is None else faults.as_json(), **files}
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        answer = self._answer()
        texts = {name: Path(file).read_text(encoding="utf-8", errors="replace") for name, file in files.items()}
        lines = texts["marks"].splitlines()
        return Ended(answer["code"], answer["seconds"], answer["changes"], answer["failed"], lines, texts["stdout"],
                     texts["stderr"], answer["late"])  # fmt: skip
