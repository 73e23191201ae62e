"""What is done under faults: commands on a small world, what they must leave whatever happens, and how they end."""

from __future__ import annotations

import filecmp
import importlib.util
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from harness.commands import Commands, Ended
from harness.shim import Faults
from harness.stores import Reference, commits_in, home_at, wrong_with_index
from harness.world import World, expect_success
from vlcli.align.load import load_space
from vlcli.errors import VlcliError
from vlcli.plugins import load_plugins
from vlcli.registry import Registry
from vlcli.runtime.runs import RunFolder
from vlcli.store import open_store
from vlcli.store.cache import CACHE
from vlcli.train.checkpoint import checkpoints, load_checkpoint

Marks = Sequence[str]
HAS_INDEX = importlib.util.find_spec("usearch") is not None


@dataclass
class Operation:
    """A command below one folder.

    Attributes:
        root: everything that the command writes; it is put back to `before` for each try.
        argv: the command, or the arguments of the function `call`.
        again: the command that goes on after a fault; the same one unless given.
        sound: what is wrong with a folder in any state that a fault may leave, given what was acknowledged; it may
            change the folder.
        complete: what is wrong with the folder after the command ended well.
    """

    name: str
    root: Path
    before: Path
    argv: list[str]
    cwd: Path
    sound: Callable[[Path, Marks], str]
    complete: Callable[[Path], str]
    again: list[str] | None = None
    call: str = ""
    order: dict[str, object] = field(default_factory=dict)

    def restore(self) -> None:
        """Put the folder back to what it was before the command."""
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.copytree(self.before, self.root)

    def run(self, commands: Commands, faults: Faults | None = None, **order: object) -> Ended:
        """The command, as the folder is now."""
        return commands.run(*self.argv, cwd=self.cwd, faults=faults, call=self.call, **(self.order | order))

    def run_again(self, commands: Commands, faults: Faults | None = None) -> Ended:
        """The command that goes on; the first one where the fault came before there was anything to go on with."""
        if self.again is None or not self.can_go_on():
            return self.run(commands, faults)
        return commands.run(*self.again, cwd=self.cwd, faults=faults, call=self.call, **self.order)

    def can_go_on(self) -> bool:
        """Whether the run got as far as being a run."""
        return (self.root / "run" / "run.json").exists()


def leftovers(root: Path) -> list[str]:
    """Temporary files below a folder that the next start should have cleared away."""
    names = [path for path in root.rglob("*") if path.name.startswith(".") or path.name.endswith((".tmp", "-journal"))]
    return [str(path.relative_to(root)) for path in [*names, *root.rglob("writer.json")]]


class Workshop:
    """Builds the operations of a world, each with its reference run.

    Args:
        folder: for the operations' folders; a fast disk is best.
    """

    def __init__(self, world: World, commands: Commands, folder: Path) -> None:
        self.world, self.commands, self.folder = world, commands, folder
        self.registry: Registry = load_plugins().registry

    def _place(self, name: str, before: Path | None = None) -> tuple[Path, Path]:
        """The root of an operation and its template; the root is left as the template."""
        root, template = self.folder / name, self.folder / f"{name}-before"
        template.mkdir(parents=True)
        if before is not None:
            shutil.copytree(before, template, dirs_exist_ok=True)
        shutil.copytree(template, root)
        return root, template

    def _store_operation(self, name: str, root: Path, before: Path, argv: list[str], *, earlier: Marks = (),
                         **settings: object) -> Operation:  # fmt: skip
        order: dict[str, object] = {"commit_items": 8, **settings}
        ended = self.commands.run(*argv, cwd=self.world.folder, **order)
        expect_success(ended)
        reference = Reference.read(root / "store", ended.marks, {0: (0, 0), **commits_in(earlier)})

        def sound(folder: Path, marks: Marks) -> str:
            with home_at(folder / "home"):
                return reference.problem_after_fault(folder / "store", marks)

        def complete(folder: Path) -> str:
            with home_at(folder / "home"), open_store(folder / "store") as store:
                return reference.wrong_at_the_end(store)

        self.marks = [*earlier, *ended.marks]
        return Operation(name, root, before, argv, self.world.folder, sound, complete, order=order)

    def embed(self, backend: str = "sqlite") -> Operation:
        """Embed all pictures into a new store."""
        name = "embed" if backend == "sqlite" else f"embed-{backend}"
        root, before = self._place(name)
        return self._store_operation(name, root, before, self.world.embed(root / "store", backend))

    def store_operations(self) -> list[Operation]:
        """Embed, build the cache and the index, embed changed pictures, bring the cache and the index up to date.

        Each begins where the one before ended. Without the index's library there are no operations on it.
        """
        first = self.embed()
        self.world.add_pictures("changing")
        root, before = self._place("cache")
        embedded = self.commands.run(*self.world.embed(before / "store", pictures="changing"), cwd=self.world.folder,
                                     commit_items=8)  # fmt: skip
        expect_success(embedded)
        shutil.copytree(before, root, dirs_exist_ok=True)
        argv = self.world.search(root / "store")
        cache = self._store_operation("cache", root, before, argv, earlier=embedded.marks)
        indexes = [self.index("index", cache.root, embedded.marks)] if HAS_INDEX else []
        self.world.change_pictures("changing")
        root, before = self._place("embed-changes", indexes[-1].root if indexes else cache.root)
        argv = self.world.embed(root / "store", pictures="changing")
        changes = self._store_operation("embed-changes", root, before, argv, earlier=self.marks)
        root, before = self._place("cache-changes", changes.root)
        # A search would do with the older cache and the few rows that changed.
        argv = self.world.index(root / "store", "exact")
        renewed = self._store_operation("cache-changes", root, before, argv, earlier=self.marks)
        files = [place / "store" / CACHE for place in (before, root)]
        assert files[0].read_bytes() != files[1].read_bytes(), "the cache was not renewed"
        if HAS_INDEX:
            indexes.append(self.index("index-changes", renewed.root, self.marks))
        return [first, cache, changes, renewed, *indexes]

    def index(self, name: str, source: Path, earlier: Marks) -> Operation:
        """Build the approximate index of a store, or build it anew; with the key that this takes, in `home`."""
        root, before = self._place(name, source)
        operation = self._store_operation(name, root, before, self.world.index(root / "store", "ann"), earlier=earlier,
                                          environment={"VLCLI_HOME": str(root / "home")})  # fmt: skip
        sound_store, complete_store = operation.sound, operation.complete

        def wrong(folder: Path, built: bool) -> str:
            try:
                with open_store(folder / "store") as store:
                    return wrong_with_index(store, built=built)
            except VlcliError as error:
                return f"can not be used: {error}"

        def sound(folder: Path, marks: Marks) -> str:
            with home_at(folder / "home"):
                return wrong(folder, "exit 0" in marks) or sound_store(folder, marks)

        def complete(folder: Path) -> str:
            with home_at(folder / "home"):
                return wrong(folder, True) or complete_store(folder)

        operation.sound, operation.complete = sound, complete
        return operation

    def train(self) -> Operation:
        """Train to the end."""
        root, before = self._place("train")
        argv = self.world.train(root / "run")
        ended = self.commands.run(*argv, cwd=self.world.folder)
        expect_success(ended)
        whole = self.folder / "train-whole"
        shutil.copytree(root / "run", whole)
        weights = ["space/weights.safetensors", "space/space.json", "space/towers/text/tokenizer.json"]
        metrics = json.loads((whole / "metrics.json").read_text())

        def sound(folder: Path, marks: Marks) -> str:
            return self._wrong_with_run(folder / "run", marks)

        def complete(folder: Path) -> str:
            _, other, missing = filecmp.cmpfiles(whole, folder / "run", weights, shallow=False)
            if other or missing:
                return f"{other + missing} are not, bit for bit, those of the run that was not interrupted"
            found = json.loads((folder / "run" / "metrics.json").read_text())
            return "" if found == metrics else "its metrics are others than without the interruption"

        return Operation("train", root, before, argv, self.world.folder, sound, complete,
                         again=["run", "--resume", str(root / "run")])  # fmt: skip

    def _wrong_with_run(self, run: Path, marks: Marks) -> str:
        """What is wrong with a run's folder."""
        saved = [mark.split()[1] for mark in marks if mark.startswith("checkpoint ")]
        found = checkpoints(run / "checkpoints")
        try:
            for checkpoint in found:
                load_checkpoint(checkpoint)
            if saved and (not found or found[-1].name < saved[-1]):
                return f"the newest checkpoint is {found[-1].name if found else 'none'}, {saved[-1]} was acknowledged"
            if not saved and not (run / "run.json").exists():
                return ""
            opened = RunFolder.open(run)
            list(opened.events())
            opened.metrics()
            if any(mark.startswith("finished ") for mark in marks) and not opened.finished("train"):
                return "the run does not know that its training is finished"
            if opened.finished("train"):
                load_space(str(run / "space"), self.registry, "cpu")
        except (VlcliError, ValueError, OSError) as error:
            return f"can not be used: {error}"
        return ""

    def save_space(self) -> Operation:
        """Save another space over one."""
        root, before = self._place("save-space")
        shutil.copytree(self.world.space, before / "space")
        shutil.copytree(self.world.space, root / "space")
        old = load_space(str(root / "space"), self.registry, "cpu").identity
        argv = [str(self.world.space), str(root / "space")]
        call = "harness.tasks:save_other_space"
        expect_success(self.commands.run(*argv, cwd=self.world.folder, call=call))
        new = load_space(str(root / "space"), self.registry, "cpu").identity
        assert old != new

        def sound(folder: Path, marks: Marks) -> str:
            try:
                found = load_space(str(folder / "space"), self.registry, "cpu").identity
            except VlcliError as error:
                return f"can not be loaded: {error}"
            allowed = {new} if "exit 0" in marks else {old, new}
            return "" if found in allowed else f"is the space {found[:19]}, not one that was saved"

        def complete(folder: Path) -> str:
            return sound(folder, ["exit 0"])

        return Operation("save-space", root, before, argv, self.world.folder, sound, complete, call=call)

    def write_file(self, name: str, file: str, argv: Callable[[Path], list[str]], content: Callable[[Path], object],
                   source: Path | None = None) -> Operation:  # fmt: skip
        """A command that replaces one file.

        Args:
            argv: from the root.
            content: what of a file is compared; it raises when the file is not whole.
            source: what the root holds beside it.
        """
        root, before = self._place(name, source)
        command = argv(root)
        expect_success(self.commands.run(*command, cwd=self.world.folder))
        new = content(root / file)
        (before / file).write_bytes(b"the older version")

        def sound(folder: Path, marks: Marks) -> str:
            data = (folder / file).read_bytes() if (folder / file).exists() else b""
            if data == b"the older version":
                return "is the older version, although the command ended well" if "exit 0" in marks else ""
            try:
                return "" if content(folder / file) == new else "is neither the older nor the newer version"
            except (OSError, ValueError, KeyError) as error:
                return f"can not be read: {error!r}"

        def complete(folder: Path) -> str:
            return sound(folder, ["exit 0"])

        return Operation(name, root, before, command, self.world.folder, sound, complete)

    def convert_weights(self) -> Operation | None:
        """Convert the published weights of an encoder into its cache; None where they are not installed."""
        from vlcli_images.efficientnet import WeightsError, _cache_is_good, find_weights

        try:
            find_weights()
        except WeightsError:
            return None
        root, before = self._place("convert-weights")
        argv = [str(root / "cache" / "weights.safetensors")]

        def complete(folder: Path) -> str:
            good = _cache_is_good(folder / "cache" / "weights.safetensors")
            return "" if good else "the cache is not what was converted"

        return Operation("convert-weights", root, before, argv, self.world.folder, lambda folder, marks: "", complete,
                         call="harness.tasks:convert_weights")  # fmt: skip

    def file_operations(self, store: Path) -> list[Operation]:
        """Export, report and recipe copy over older files."""
        return [
            self.write_file("export-parquet", "out.parquet",
                            lambda root: ["store", "export", str(root / "store"), str(root / "out.parquet")],
                            read_parquet, store),
            self.write_file("export-npz", "out.npz",
                            lambda root: ["store", "export", str(root / "store"), str(root / "out.npz")],
                            read_npz, store),
            self.write_file("report", "page.html",
                            lambda root: ["report", str(root / "store"), "--output", str(root / "page.html")],
                            read_page, store),
            self.write_file("recipe-copy", "mine.toml",
                            lambda root: ["recipes", "copy", "quickstart", str(root / "mine.toml"), "--force"],
                            lambda path: path.read_text(encoding="utf-8")),
        ]  # fmt: skip


def read_parquet(path: Path) -> object:
    """All rows."""
    import pyarrow.parquet as parquet

    return parquet.read_table(path).to_pylist()


def read_npz(path: Path) -> object:
    """All arrays; a member whose checksum is wrong raises."""
    import zipfile

    try:
        with np.load(path) as content:
            return {name: content[name].tolist() for name in content.files}
    except zipfile.BadZipFile as error:
        raise ValueError(str(error)) from error


def read_page(path: Path) -> object:
    """The length class of a page: complete or not (times on it differ)."""
    text = path.read_text(encoding="utf-8")
    if not text.rstrip().endswith("</html>"):
        raise ValueError("the page has no end")
    return text.count("<tr"), text.count("<h2")
