"""Whether a model hub may be asked. Nothing is fetched unless the user allows it."""

from __future__ import annotations

import os


def hub_is_offline() -> bool:
    """True when `HF_HUB_OFFLINE` or `TRANSFORMERS_OFFLINE` is set to a true value."""
    return any(os.environ.get(name, "").lower() in ("1", "true", "yes", "on")
               for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))  # fmt: skip
