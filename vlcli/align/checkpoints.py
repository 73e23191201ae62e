"""Hugging Face checkpoint folders: found on disk or fetched by name, safetensors only, never with remote code."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from vlcli.errors import VlcliError

MAX_JSON_BYTES = 20_000_000
# Pickles (*.bin, *.pt, *.pth, *.pkl) and code (*.py) are never fetched.
WANTED_FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja", "merges.txt", "vocab.*")
# What decides the vectors besides the weights.
CONFIG_FILES = (
    "config.json", "preprocessor_config.json", "processor_config.json", "tokenizer.json", "tokenizer_config.json",
    "special_tokens_map.json", "vocab.txt", "vocab.json", "merges.txt", "modules.json", "sentence_bert_config.json",
    "config_sentence_transformers.json",
)  # fmt: skip


def open_checkpoint(name: str) -> Path:
    """The folder of a checkpoint: a path as it is, a hub name from the hub's cache or, unless offline, the hub.

    Raises:
        VlcliError: W201 when the folder is missing, W202 when the hub's copy can not be had, W203 when there are no
            safetensors in it.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir():
        if folder.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
            raise VlcliError("W201", f"hf:{name}", "there is no such checkpoint folder", "check the path")
        folder = fetch_checkpoint(name)
    if not (folder / "config.json").is_file():
        raise VlcliError("W201", f"hf:{name}", "holds no config.json, so it is not a checkpoint folder",
                         "name a folder that save_pretrained wrote")  # fmt: skip
    if not list(folder.glob("*.safetensors")):
        raise VlcliError(
            "W203",
            f"hf:{name}",
            "has no *.safetensors, and vlcli never unpickles weights",
            "convert it once with model.save_pretrained(FOLDER) where you trust it, then use hf:FOLDER",
        )
    return folder


def fetch_checkpoint(name: str) -> Path:
    """The snapshot of a hub name; offline it must be in the hub's cache already."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    from vlcli.runtime.offline import hub_is_offline

    offline = hub_is_offline()
    remedy = (f"on a machine with network run `hf download {name} --local-dir FOLDER`, copy FOLDER here and use "
              "hf:FOLDER")  # fmt: skip
    try:
        return Path(snapshot_download(name, allow_patterns=list(WANTED_FILES), local_files_only=offline))
    except HFValidationError as error:
        raise VlcliError("W201", f"hf:{name}", "is neither a folder nor a hub name (owner/model)",
                         "check the path") from error  # fmt: skip
    except LocalEntryNotFoundError as error:
        why = "is not on this machine, and the hub is switched off (HF_HUB_OFFLINE)" if offline else (
            "is not on this machine, and the hub can not be reached")  # fmt: skip
        raise VlcliError("W202", f"hf:{name}", why, remedy) from error
    except (HfHubHTTPError, OSError) as error:
        raise VlcliError("W202", f"hf:{name}", f"can not be fetched from the hub ({type(error).__name__})",
                         f"check the name and your access, or {remedy}") from error  # fmt: skip


def read_json(path: Path) -> Any:
    """Parse a small JSON file of a checkpoint.

    Raises:
        VlcliError: W204 when it is missing, too large or no JSON.
    """
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise VlcliError("W204", str(path), f"is larger than {MAX_JSON_BYTES:,} bytes")
        return json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise VlcliError("W204", str(path), "is missing", "restore the checkpoint from its source") from error
    except (ValueError, RecursionError) as error:
        raise VlcliError("W204", str(path), f"is not JSON ({error})", "restore the checkpoint") from error


def read_config(folder: Path) -> dict[str, Any]:
    """`config.json` as a dictionary."""
    config = read_json(folder / "config.json")
    if not isinstance(config, dict):
        raise VlcliError("W204", str(folder / "config.json"), "is not a JSON object", "restore the checkpoint")
    return config


def checkpoint_sha256(folder: Path) -> str:
    """One hash over a checkpoint's weights and all files that decide its vectors, by relative path."""
    files = {*folder.glob("*.safetensors"), *folder.glob("*/*.safetensors"), *folder.glob("*/config.json")}
    files |= {folder / name for name in CONFIG_FILES if (folder / name).is_file()}
    digest = hashlib.sha256()
    for path in sorted(files):
        with open(path, "rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.relative_to(folder).as_posix()} {content}\n".encode())
    return digest.hexdigest()


def load_pretrained(model_class: Any, folder: Path) -> Any:
    """`model_class.from_pretrained`, safetensors only, from disk only, in evaluation mode, float32.

    Raises:
        VlcliError: W103 when the files are damaged or do not fit the config, W104 when weights are missing, W105 when
            a weight is NaN or infinite.
    """
    import torch
    from safetensors import SafetensorError
    from transformers.utils import logging

    bar = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        model, info = model_class.from_pretrained(
            folder, use_safetensors=True, local_files_only=True, trust_remote_code=False, output_loading_info=True,
            dtype=torch.float32,
        )  # fmt: skip
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RuntimeError,
        SafetensorError,
        MemoryError,
    ) as error:
        reason = (str(error).strip().splitlines() or [""])[0]
        raise VlcliError(
            "W103",
            str(folder),
            f"the checkpoint can not be loaded ({type(error).__name__}: {reason})",
            "restore it from its source, or check that this transformers knows its type",
        ) from error
    finally:
        if bar:
            logging.enable_progress_bar()
    missing = sorted(info["missing_keys"])
    if missing:
        raise VlcliError("W104", str(folder), f"the weight '{missing[0]}' is missing ({len(missing)} in all)",
                         "restore the checkpoint from its source")  # fmt: skip
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise VlcliError("W105", str(folder), f"the weight '{name}' holds NaN or infinite values",
                             "download or train it again")  # fmt: skip
    return model.eval()
