"""Every way in which a file from elsewhere reaches vlcli, tried with hostile files under an audit hook.

    python unsafe_paths.py FOLDER OUT [PATH ...]

A loading path prepares a folder with good files, names the file that is replaced, and loads. What is counted: whether
anything was executed (a marker file, `pickle.find_class`, a started process), and what came of the load.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fuzz_targets import pictures, registry_of, saved_space
from harness.stores import home_at
from unsafe_payloads import MARKER, lying_safetensors, payloads

from vlcli.api import Source
from vlcli.errors import VlcliError

WATCHED = ("pickle.find_class", "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen")


@dataclass(frozen=True)
class Way:
    """A loading path.

    Attributes:
        name: for the table.
        victim: the file, relative to the prepared folder, that a payload takes the place of.
        prepare: puts good files into a folder.
        load: reads them as vlcli does.
        safetensors: whether the victim is a safetensors file.
    """

    name: str
    victim: str
    prepare: Callable[[Path], object]
    load: Callable[[Path], object]
    safetensors: bool = False


def nothing(folder: Path) -> None:
    """For files that need no company."""


def clip_checkpoint(folder: Path, *, pickled: bool = False) -> None:
    """A small CLIP as `save_pretrained` writes it; with `pickled` its weights are said to be in pytorch_model.bin."""
    import torch
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(0)
    part = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = CLIPConfig(text_config=part | {"vocab_size": 99, "max_position_embeddings": 16},
                        vision_config=part | {"image_size": 16, "patch_size": 8}, projection_dim=8)  # fmt: skip
    CLIPModel(config).save_pretrained(folder)
    tokenizer_files(folder)
    (folder / "preprocessor_config.json").write_text(
        json.dumps({"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 16}, "crop_size": 16})
    )
    if pickled:
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def remote_code(folder: Path) -> None:
    """A checkpoint whose config asks for its own Python files."""
    clip_checkpoint(folder)
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoModel": "evil.Model", "AutoConfig": "evil.Config", "AutoTokenizer": ["evil.T", None]}
    (folder / "config.json").write_text(json.dumps(config))


def tokenizer_files(folder: Path) -> None:
    """A word-level tokenizer."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "[PAD]": 1, "a": 2, "circle": 3}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]").save_pretrained(folder)


def text_checkpoint(folder: Path, *, pickled: bool = False) -> None:
    """A small BERT with mean pooling in the layout of sentence-transformers."""
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(vocab_size=99, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
                        max_position_embeddings=16)  # fmt: skip
    BertModel(config).save_pretrained(folder)
    tokenizer_files(folder)
    if pickled:
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def load(name: str) -> Callable[[Path], object]:
    """Loads a space; `{}` is the prepared folder."""

    def read(folder: Path) -> object:
        from vlcli.align.load import load_space

        return load_space(name.format(folder), registry_of(), "cpu")

    return read


def store(folder: Path) -> None:
    """A store with three rows, searched once, so that its caches are there."""
    import numpy as np

    from vlcli.store import Row, SpaceInfo, create_store

    rng = np.random.default_rng(0)
    with create_store(folder / "store", SpaceInfo("s", "sha256:" + "0" * 64, 4, "s")) as opened:
        opened.begin_run("test")
        vectors = rng.normal(size=(3, 4)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        opened.add([Row(str(n), None, "text", f"{n:064x}", None, None, None, "t", {}, vectors[n]) for n in range(3)])
        opened.end_run()
        opened.search(vectors[:1], 2)


def indexed(folder: Path) -> None:
    """The same store with an approximate index, of this installation."""
    from vlcli.store import open_store
    from vlcli.store.ann import build_index

    store(folder)
    with home_at(folder / "home"), open_store(folder / "store") as opened:
        build_index(opened)


def search_near(folder: Path) -> object:
    """Searches by the index and checks it."""
    import numpy as np

    from vlcli.store import open_store

    with home_at(folder / "home"), open_store(folder / "store") as opened:
        return opened.search(np.eye(1, 4, dtype=np.float32), 2, approximate=True), opened.check()


def search(folder: Path) -> object:
    """Opens a store, searches it and checks it."""
    import numpy as np

    from vlcli.store import open_store

    with open_store(folder / "store") as opened:
        return opened.search(np.eye(1, 4, dtype=np.float32), 2), opened.check()


def checkpoint(folder: Path) -> None:
    """A training checkpoint."""
    import torch

    from vlcli.train.checkpoint import save_checkpoint

    save_checkpoint(folder, 1, {"weights": {"w": torch.ones(2)}, "step": 1})


def resume(folder: Path) -> object:
    """Reads it back, its checksums made to fit: whoever can write the file can write those too."""
    from vlcli.runtime.files import sha256_file
    from vlcli.train.checkpoint import load_checkpoint

    place = folder / "step-00000001"
    names = ("tensors.safetensors", "state.json")
    (place / "checksums.json").write_text(json.dumps({name: sha256_file(place / name) for name in names}))
    return load_checkpoint(place)


def feature_cache(folder: Path) -> object:
    """The cache of frozen towers."""
    from vlcli.train.features import FeatureCache

    cache = FeatureCache(folder, "0" * 64, 4)
    found = cache.read(["x:0"])
    cache.close()
    return found


def efficientnet(folder: Path) -> object:
    """The converted weights of EfficientNet-Lite0, with a digest that fits the hostile file."""
    from vlcli_images.efficientnet import CACHE_FILE, WEIGHTS_SHA256, load_efficientnet_lite0

    from vlcli.runtime.files import sha256_file

    file = folder / CACHE_FILE
    (folder / f"{CACHE_FILE}.sha256").write_text(f"{sha256_file(file)} {WEIGHTS_SHA256}\n")
    return load_efficientnet_lite0(folder)


def expand(name: str) -> Callable[[Path], object]:
    """Reads a list or table of inputs."""

    def read(folder: Path) -> object:
        from vlcli.data.inputs import expand_inputs

        return list(expand_inputs([str(folder / name)], registry_of()))

    return read


def data_set(name: str) -> Callable[[Path], object]:
    """Opens a folder or file as a data set."""

    def read(folder: Path) -> object:
        from vlcli.data.datasets import open_dataset

        return len(open_dataset(str(folder / name) if name else str(folder), registry_of(), {}))

    return read


def recipe(folder: Path) -> object:
    """Reads a recipe."""
    from vlcli.recipe import load_recipe

    return load_recipe(str(folder / "evil.toml"), registry_of())


def run_page(folder: Path) -> object:
    """Writes the report of a run folder."""
    from vlcli.report.folders import write_run_report

    return write_run_report(folder / "report.html", folder)


def run_folder(folder: Path) -> None:
    """The files of a finished run."""
    (folder / "run.json").write_text(json.dumps({"schema": 1, "steps": {}, "status": "done"}))
    (folder / "metrics.json").write_text("{}")
    (folder / "events.jsonl").write_text("")
    (folder / "picture.png").write_bytes(dict(pictures())[".png"])


def plugin_settings(folder: Path) -> object:
    """The switched-off plugins, read at every start."""
    from vlcli.plugins import read_plugins_file

    with home_at(folder):
        return read_plugins_file()


def ways() -> Iterator[Way]:
    """All loading paths of the core, and every file type of every modality that is installed."""
    yield Way("space: weights", "space/weights.safetensors", lambda f: saved_space(f / "space", registry_of()),
              load("{}/space"), True)  # fmt: skip
    yield Way("space: space.json", "space/space.json", lambda f: saved_space(f / "space", registry_of()),
              load("{}/space"))  # fmt: skip
    yield Way("hf: model.safetensors", "model.safetensors", clip_checkpoint, load("hf:{}"), True)
    yield Way("hf: pytorch_model.bin", "pytorch_model.bin", lambda f: clip_checkpoint(f, pickled=True), load("hf:{}"))
    yield Way("hf: pytorch_model.bin beside", "pytorch_model.bin", clip_checkpoint, load("hf:{}"))
    yield Way("hf: config.json", "config.json", clip_checkpoint, load("hf:{}"))
    yield Way("hf: tokenizer.json", "tokenizer.json", clip_checkpoint, load("hf:{}"))
    yield Way("hf: preprocessor_config.json", "preprocessor_config.json", clip_checkpoint, load("hf:{}"))
    yield Way("hf: the checkpoint's own code", "evil.py", remote_code, load("hf:{}"))
    yield Way("hf text: model.safetensors", "model.safetensors", text_checkpoint, load("hf:{}"), True)
    yield Way("hf text: pytorch_model.bin", "pytorch_model.bin", lambda f: text_checkpoint(f, pickled=True),
              load("hf:{}"))  # fmt: skip
    yield Way("store: store.db", "store/store.db", store, search)
    yield Way("store: vectors.npy", "store/vectors.npy", store, search)
    if importlib.util.find_spec("usearch") is not None:
        yield Way("store: ann.index", "store/ann.index", indexed, search_near)
    yield Way("checkpoint: tensors", "step-00000001/tensors.safetensors", checkpoint, resume, True)
    yield Way("checkpoint: state.json", "step-00000001/state.json", checkpoint, resume)
    yield Way("cache: features", f"{'0' * 32}.db", nothing, feature_cache)
    yield Way("cache: EfficientNet", "efficientnet-lite0.safetensors", nothing, efficientnet, True)
    for name in ("list.txt", "table.csv", "table.tsv", "table.jsonl", "table.parquet"):
        yield Way(f"inputs: {name}", name, nothing, expand(name))
    yield Way("data set: captions.csv", "captions.csv", lambda f: run_folder(f), data_set(""))
    yield Way("data set: table.parquet", "table.parquet", nothing, data_set("table.parquet"))
    yield Way("recipe", "evil.toml", nothing, recipe)
    for name in ("run.json", "metrics.json", "events.jsonl", "picture.png"):
        yield Way(f"run: {name}", name, run_folder, run_page)
    yield Way("plugins.toml", "plugins.toml", nothing, plugin_settings)
    registry = registry_of()
    for entry in registry.list("modality"):
        for extension in entry.spec.extensions:
            yield Way(f"{entry.name}: *{extension}", f"item{extension}", nothing, item_loader(entry.name))


def item_loader(name: str) -> Callable[[Path], object]:
    """Expands a file of a modality, loads and previews what it holds."""

    def read(folder: Path) -> object:
        registry = registry_of()
        modality = registry.load(registry.find("modality", name))()
        loaded = []
        for source in modality.expand(next(folder.glob("item.*"))):
            assert isinstance(source, Source)
            loaded += [modality.load(source), modality.preview(source)]
        return loaded

    return read


class Watch:
    """Notes what an audit hook sees while it is switched on. A hook can not be taken off, so there is one a process."""

    def __init__(self) -> None:
        self.on = False
        self.seen: list[str] = []
        sys.addaudithook(self.hook)

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.on and event in WATCHED and not is_own_worker(event, arguments):
            self.seen.append(f"{event}{arguments!r}"[:200])


def is_own_worker(event: str, arguments: tuple[Any, ...]) -> bool:
    """A plugin's worker process, started at its first use: this Python with one of our modules, named in our code."""
    if event != "subprocess.Popen":
        return False
    command = arguments[1]
    words = [str(word) for word in command] if isinstance(command, list | tuple) else []
    return (
        len(words) >= 3
        and words[0] == sys.executable
        and "-m" in words
        and words[words.index("-m") + 1].startswith("vlcli_")
    )


def try_way(way: Way, folder: Path, watch: Watch) -> dict[str, Any]:
    """Every payload on one path."""
    prepared, work, marker = folder / "good", folder / "work", folder / MARKER
    prepared.mkdir(parents=True)
    way.prepare(prepared)
    warm_up(way, prepared, folder / "warm")
    hostile = payloads(marker)
    if way.safetensors:
        hostile |= {f"safetensors: {name}": data for name, data in lying_safetensors().items()}
    result: dict[str, Any] = {"name": way.name, "tried": 0, "executed": [], "refused": 0, "read": [], "crashed": []}
    for name, data in hostile.items():
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(prepared, work)
        victim = work / way.victim
        victim.parent.mkdir(parents=True, exist_ok=True)
        victim.write_bytes(data)
        result["tried"] += 1
        watch.on = True
        try:
            way.load(work)
            result["read"].append(name)
        except VlcliError:
            result["refused"] += 1
        except Exception as error:  # noqa: BLE001 (what is not a refusal is a finding)
            result["crashed"].append(f"{name}: {type(error).__name__}: {str(error)[:200]}")
        finally:
            watch.on = False
        if marker.exists():
            result["executed"].append(f"{name}: the marker is there")
            shutil.rmtree(marker) if marker.is_dir() else marker.unlink()
        result["executed"] += [f"{name}: {event}" for event in watch.seen]
        watch.seen.clear()
    return result


def warm_up(way: Way, prepared: Path, folder: Path) -> None:
    """Load the good files once, so that what libraries do when they are first used is not taken for the payload's."""
    shutil.copytree(prepared, folder)
    try:
        way.load(folder)
    except (VlcliError, StopIteration, OSError):
        # A path whose victim is no part of the good files has nothing to load yet.
        return


def main() -> None:
    """All paths, or those whose names begin as the arguments say."""
    folder, out, chosen = Path(sys.argv[1]), Path(sys.argv[2]), tuple(sys.argv[3:])
    watch, results = Watch(), []
    for number, way in enumerate(ways()):
        if not chosen or way.name.startswith(chosen):
            results.append(try_way(way, folder / str(number), watch))
    out.write_text(json.dumps(results))


if __name__ == "__main__":
    main()
