"""A recipe of two small towers over drawn shapes, for tests that run whole trainings; and a port to run them on."""

from __future__ import annotations

import socket

HEAD = """\
schema = 1
name = "tiny"
threads = 1
device = "cpu"

[data]
use = "images/shapes"
options = {{ size = {size} }}
{data}
[towers.images]
use = "images/small-cnn"
options = {{ width = 8, dim = 8 }}
{images}head = {{ use = "linear", dim = 8 }}

[towers.text]
use = "text/small-gru"
options = {{ width = 8, dim = 8 }}
trainable = ["*"]
head = {{ use = "linear", dim = 8 }}

[objective]
use = "core/info-nce"

"""


def tiny_recipe(rest: str, *, size: int = 32, data: str = "", frozen_images: bool = False) -> str:
    """The recipe's text.

    Args:
        rest: tables `optim`, `train` and others.
        size: of the shapes, pixels.
        data: more lines of the table `data`.
        frozen_images: train only the head of the tower of images.
    """
    images = "" if frozen_images else 'trainable = ["*"]\n'
    return HEAD.format(size=size, data=data and f"{data}\n", images=images) + rest


def free_port() -> int:
    """A port of the loopback interface that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
