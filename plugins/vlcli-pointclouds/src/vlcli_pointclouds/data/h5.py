"""`pointclouds/h5`: clouds in HDF5 files, as ScanObjectNN and the ModelNet40 of PointNet come, brought along.

A file holds `data [N, P, 3]`, mostly `label [N]` or `[N, 1]`, perhaps `normal [N, P, 3]` and `mask [N, P]`
(ScanObjectNN: -1 on the background). Its clouds are written to the cache as `.npy` once, by the file's content.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vlcli.api import Source, VlcliError
from vlcli.data.dataset import Example
from vlcli.data.files import check_file
from vlcli.data.inputs import RefusedInput
from vlcli.data.names import printable
from vlcli.runtime.files import scratch_folder, sha256_file
from vlcli.runtime.paths import cache_dir
from vlcli_pointclouds.data.files import FilesDataset, caption_of, chosen, class_name, hold_out

if TYPE_CHECKING:
    import h5py

ENDINGS = (".h5", ".hdf5")
SCANOBJECTNN = ("bag", "bin", "box", "cabinet", "chair", "desk", "display", "door", "shelf", "table", "bed", "pillow",
                "sink", "sofa", "toilet")  # fmt: skip
"""Names of ScanObjectNN's labels 0…14 (Uy et al. 2019, arXiv:1908.04616; the files hold numbers alone)."""
MOST_POINTS = 1_000_000
EXPANSION = 200
"""A data set may be so many times as large as what is stored of it; more is a bomb."""
VERSION = 1
"""Part of the cache folder's name; raise it when what is written changes."""


@dataclass(frozen=True)
class H5File:
    """A file to read.

    Attributes:
        path: of it.
        split: that its name tells, or None.
        names: of its labels, in order; empty when unknown.
    """

    path: Path
    split: str | None
    names: tuple[str, ...]


class H5Dataset(FilesDataset):
    """Clouds in HDF5. Ids are `FILE#ROW`, rows counted from 0.

    Args:
        path: a file, or a folder: all files in it whose names end with `.h5`, those with `train` or `test` in their
            name as that split.
        names: of the labels, in order. By default those in `shape_names.txt` beside the file, or ScanObjectNN's where
            the file is called as its are (`…objectdataset….h5`); without names labels are numbers, without captions.
        foreground: leave out points whose mask is -1 (ScanObjectNN's background).
        val: share of each class's training objects that become the split `val`.
        classes: only these.
        split: only this one.

    Raises:
        VlcliError: D753 nothing usable, D754 no file, D755 an unknown class, D758 no HDF5, D759 without usable arrays.
    """

    def __init__(
        self,
        path: str,
        names: Sequence[str] = (),
        foreground: bool = False,
        val: float = 0.1,
        classes: Sequence[str] = (),
        split: str | None = None,
    ) -> None:
        files = find_files(Path(path).expanduser(), tuple(names))
        found = [entry for file in files for entry in rows_of(file, foreground)]
        examples = [entry for entry in found if isinstance(entry, Example)]
        refused = [entry for entry in found if isinstance(entry, RefusedInput)]
        where = printable(path)
        super().__init__(chosen(hold_out(examples, val), split, classes, where) if examples else [], refused, where)


def find_files(path: Path, names: tuple[str, ...]) -> list[H5File]:
    """The files that a path names, with their splits and names."""
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.suffix.lower() in ENDINGS and file.is_file())
    else:
        files = [path] if path.is_file() else []
    if not files:
        what = "holds no file that ends with .h5" if path.is_dir() else "there is no such file or folder"
        raise VlcliError("D754", printable(path), what, "set option path to an HDF5 file or to a folder of some")
    return [H5File(file, split_in(file), names or names_beside(file)) for file in files]


def split_in(path: Path) -> str | None:
    """The split that a file's name tells."""
    name = path.stem.lower()
    return next((split for word, split in (("train", "train"), ("test", "test"), ("val", "val")) if word in name), None)


def names_beside(path: Path) -> tuple[str, ...]:
    """Names of the labels: `shape_names.txt` in the file's folder, or ScanObjectNN's."""
    listing = path.parent / "shape_names.txt"
    if listing.is_file():
        return tuple(listing.read_text("utf-8", "surrogateescape").split("\n")[:10_000])
    return SCANOBJECTNN if "objectdataset" in path.name.lower() else ()


def rows_of(file: H5File, foreground: bool) -> Iterator[Example | RefusedInput]:
    """The examples of a file."""
    folder, table = unpacked(file.path, foreground)
    for row, (label, points) in enumerate(table.tolist()):
        named = class_name(file.names[label]) if 0 <= label < len(file.names) else ""
        text = named or (str(label) if label >= 0 else None)
        name = f"{printable(file.path.name)}#{row}"
        if not points:
            yield RefusedInput(name, "D759", "all of its points are background")
            continue
        source = Source(id=f"{printable(file.path)}#{row}", path=folder / f"{row:06d}.npy")
        captions = (caption_of(named),) if named else ()
        metadata = {"category": text} if text else {}
        yield Example(name, {"pointclouds": source}, captions, text, file.split, metadata)


def unpacked(path: Path, foreground: bool) -> tuple[Path, NDArray[np.int64]]:
    """The folder of a file's clouds, written when the cache lacks it, and of each its label (-1: none) and points."""
    check_file(path)
    key = f"{sha256_file(path)[:32]}{'-foreground' if foreground else ''}"
    folder = cache_dir("pointclouds", f"h5-v{VERSION}") / key
    if not (folder / "table.npy").is_file():
        with scratch_folder(folder.parent) as scratch:
            inner = scratch / "clouds"
            inner.mkdir()
            write_rows(path, foreground, inner)
            # Not synced: clouds that are lost are written again. A rename shows the folder whole or not at all.
            if not folder.exists():
                try:
                    inner.rename(folder)
                except OSError:
                    # Another process was faster and wrote the same.
                    if not (folder / "table.npy").is_file():
                        raise
    return folder, np.load(folder / "table.npy", allow_pickle=False)


def write_rows(path: Path, foreground: bool, folder: Path) -> None:
    """Write each cloud of a file as `000000.npy`, and `table.npy`: labels and numbers of points `[N, 2]`."""
    import h5py

    where = printable(path)
    try:
        with h5py.File(path, "r") as file:
            data = array_in(file, "data", where)
            if data is None or len(data.shape) != 3 or data.shape[2] < 3 or not 1 <= data.shape[1] <= MOST_POINTS:
                held = ", ".join(
                    f"{name} {list(getattr(value, 'shape', ()))}" for name, value in list(file.items())[:8]
                )
                raise VlcliError("D759", where, f"has no array 'data' of shape [clouds, points, 3]; it holds {held}",
                                 "name it so, or save the clouds as .npy files")  # fmt: skip
            normal, mask = (array_in(file, name, where) for name in ("normal", "mask"))
            count, points = data.shape[:2]
            label = array_in(file, "label", where)
            table = np.full((count, 2), -1, np.int64)
            if label is not None:
                if label.shape[:1] != (count,) or label.size != count or label.dtype.kind not in "iuf":
                    raise VlcliError("D759", where, f"its labels have shape {list(label.shape)}, for {count:,} clouds",
                                     "give one number a cloud")  # fmt: skip
                table[:, 0] = np.asarray(label[()]).reshape(-1)
            for row in range(count):
                cloud = np.asarray(data[row], np.float32)[:, :6]
                if normal is not None and normal.shape == (count, points, 3):
                    cloud = np.concatenate([cloud[:, :3], np.asarray(normal[row], np.float32)], axis=1)
                if foreground and mask is not None and mask.shape[:2] == (count, points):
                    cloud = cloud[np.asarray(mask[row]).reshape(points, -1)[:, 0] != -1]
                table[row, 1] = len(cloud)
                if len(cloud):
                    np.save(folder / f"{row:06d}.npy", cloud, allow_pickle=False)
            np.save(folder / "table.npy", table, allow_pickle=False)
    except (OSError, KeyError, ValueError, RuntimeError, TypeError) as error:
        message = " ".join(str(error).split())[:120]
        raise VlcliError("D758", where, f"is not a readable HDF5 file ({message})", "download it again") from error


def array_in(file: h5py.File, name: str, where: str) -> Any:
    """An array of numbers that lies in the file itself, or None.

    Raises:
        VlcliError: D759 for links to other files and for arrays that announce far more than is stored.
    """
    import h5py

    if name not in file:
        return None
    link = file.get(name, getlink=True)
    array = file.get(name) if isinstance(link, h5py.HardLink) else None
    if array is None or not isinstance(array, h5py.Dataset) or array.is_virtual or array.external:
        raise VlcliError(
            "D759", where, f"its '{name}' is no array in this file", "links to other files are not followed"
        )
    if array.dtype.kind not in "iuf":
        raise VlcliError("D759", where, f"its '{name}' holds {array.dtype}, not numbers", "save it as numbers")
    stored = int(array.id.get_storage_size())
    if array.nbytes > EXPANSION * stored + 4096:
        raise VlcliError("D759", where, f"its '{name}' announces {array.nbytes:,} bytes and holds {stored:,}",
                         "the file is damaged or not meant well")  # fmt: skip
    return array
