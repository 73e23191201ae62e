"""Spaces: vectors, identity, saving, references, and folders that are damaged or hostile."""

from __future__ import annotations

import errno
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from vlcli.align import Space, Tower, build_head, load_space
from vlcli.cli.system_errors import explain_os_error
from vlcli.errors import ExitCode, VlcliError
from vlcli.registry import Registry
from vlcli.runtime.files import write_atomic
from vlcli.runtime.tensors import system_errors

INPUTS = {"values": torch.tensor([[1.0, 2.0], [3.0, 0.5]]), "attention_mask": torch.ones(2, 2, dtype=torch.long)}
HEAD = {"kind": "mlp", "dim": 4, "hidden": 5, "layers": 2, "residual": True, "norm": True}


def make(registry: Registry, name: str = "toys/toy", head: dict[str, Any] | None = None, **settings: Any) -> Space:
    torch.manual_seed(1)
    encoder = registry.build("encoder", name, {"width": 6})
    tower = Tower(encoder, build_head(head or HEAD, encoder.dim), name, {"width": 6})
    return Space("demo", {"numbers": tower}, **settings).eval()


def test_vectors_have_length_one_at_every_width(toys: Registry) -> None:
    space = make(toys)
    full = space.embed("numbers", INPUTS)
    assert full.shape == (2, 4)
    torch.testing.assert_close(full.norm(dim=1), torch.ones(2))
    cut = space.embed("numbers", INPUTS, dim=2)
    torch.testing.assert_close(cut, torch.nn.functional.normalize(full[:, :2], dim=1))
    for wrong in (0, 5, -1):
        with pytest.raises(VlcliError, match="U211"):
            space.embed("numbers", INPUTS, dim=wrong)


def test_unknown_modality_is_a_usage_error(toys: Registry) -> None:
    with pytest.raises(VlcliError, match="does not embed 'images', only numbers") as caught:
        make(toys).embed("images", INPUTS)
    assert caught.value.code == "U210"
    assert caught.value.exit_code == ExitCode.USAGE


def test_towers_must_agree_in_width(toys: Registry) -> None:
    one, two = make(toys).tower("numbers"), make(toys, head={"dim": 3}).tower("numbers")
    with pytest.raises(VlcliError, match="one width"):
        Space("demo", {"a": one, "b": two})
    with pytest.raises(VlcliError, match="no tower"):
        Space("demo", {})


def test_round_trip_keeps_vectors_identity_and_temperature(toys: Registry, tmp_path: Path) -> None:
    space = make(toys, logit_scale=1.25, logit_bias=-3.5, license="MIT")
    space.save(tmp_path / "space")
    loaded = load_space(str(tmp_path / "space"), toys, "cpu")
    assert loaded.identity == space.identity
    assert loaded.identity.startswith("sha256:")
    assert torch.equal(loaded.embed("numbers", INPUTS), space.embed("numbers", INPUTS))
    assert loaded.logit_scale.item() == 1.25
    assert loaded.logit_bias is not None and loaded.logit_bias.item() == -3.5
    assert (loaded.name, loaded.license, loaded.load_name) == ("demo", "MIT", str(tmp_path / "space"))
    assert not loaded.training


def test_identity_follows_weights_and_not_names(toys: Registry) -> None:
    space, same = make(toys), make(toys)
    same.name = "another name"
    assert same.identity == space.identity
    before = space.identity
    optimizer = torch.optim.SGD(space.parameters(), lr=0.1)
    space.embed("numbers", INPUTS).sum().backward()
    optimizer.step()
    assert space.identity != before
    assert make(toys, logit_scale=2.0).identity != before
    assert make(toys, head={"dim": 4}).identity != before


def test_half_precision_space_saves_and_loads(toys: Registry, tmp_path: Path) -> None:
    space = make(toys).to(torch.bfloat16)
    space.save(tmp_path)
    assert Space.load(tmp_path, toys).identity == space.identity


def test_untouched_encoder_is_saved_as_a_reference(toys: Registry, tmp_path: Path) -> None:
    space = make(toys, "toys/published")
    space.save(tmp_path)
    assert not [name for name in load_file(tmp_path / "weights.safetensors") if ".encoder." in name]
    assert Space.load(tmp_path, toys).identity == space.identity
    with torch.no_grad():
        next(space.tower("numbers").encoder.parameters()).add_(1)
    space.save(tmp_path)
    assert [name for name in load_file(tmp_path / "weights.safetensors") if ".encoder." in name]
    loaded = Space.load(tmp_path, toys)
    assert loaded.identity == space.identity
    assert torch.equal(loaded.embed("numbers", INPUTS), space.embed("numbers", INPUTS))


def test_other_published_weights_are_refused(toys: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import align_toys

    make(toys, "toys/published").save(tmp_path)
    monkeypatch.setattr(align_toys, "Published", align_toys.OtherPublished)
    with pytest.raises(VlcliError, match="needs the weights toy==1") as caught:
        Space.load(tmp_path, toys)
    assert caught.value.code == "W109"


def test_missing_plugin_is_named(toys: Registry, tmp_path: Path) -> None:
    make(toys).save(tmp_path)
    with pytest.raises(VlcliError, match="no encoder is named 'toys/toy'") as caught:
        Space.load(tmp_path, Registry())
    assert caught.value.exit_code == ExitCode.PLUGIN


def edit(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    """Damage that changes `space.json`."""

    def damage(folder: Path) -> None:
        path = folder / "space.json"
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return damage


def tensors(change: Callable[[dict[str, torch.Tensor]], Any]) -> Callable[[Path], None]:
    """Damage that changes the weights."""

    def damage(folder: Path) -> None:
        content = load_file(folder / "weights.safetensors")
        change(content)
        save_file(content, folder / "weights.safetensors")

    return damage


def raw(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Damage to the bytes of the weights file."""

    def damage(folder: Path) -> None:
        path = folder / "weights.safetensors"
        path.write_bytes(change(path.read_bytes()))

    return damage


def header(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    """Damage to the header of the weights file."""

    def rewrite(data: bytes) -> bytes:
        size = struct.unpack("<Q", data[:8])[0]
        content = json.loads(data[8 : 8 + size])
        change(content)
        text = json.dumps(content).encode()
        return struct.pack("<Q", len(text)) + text + data[8 + size :]

    return raw(rewrite)


FIRST = "numbers.encoder.linear.bias"
SECOND = "numbers.encoder.linear.weight"
DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "no space.json": (lambda folder: (folder / "space.json").unlink(), "W101"),
    "truncated json": (lambda folder: (folder / "space.json").write_text('{"schema": 1, "na'), "W101"),
    "json of another kind": (lambda folder: (folder / "space.json").write_text("[1, 2]"), "W101"),
    "json not utf-8": (lambda folder: (folder / "space.json").write_bytes(b"\xff\xfe\x00"), "W101"),
    "huge json": (lambda folder: (folder / "space.json").write_text(" " * 2_000_000), "W101"),
    "deep json": (lambda folder: (folder / "space.json").write_text("[" * 100_000), "W101"),
    "future schema": (edit(lambda c: c.update(schema=2)), "W101"),
    "unknown key": (edit(lambda c: c.update(surprise=1)), "W101"),
    "missing key": (edit(lambda c: c.pop("towers")), "W101"),
    "no tower": (edit(lambda c: c.update(towers={})), "W101"),
    "path as modality": (edit(lambda c: c.update(towers={"../../x": c["towers"]["numbers"]})), "W101"),
    "huge dim": (edit(lambda c: c.update(dim=10**12)), "W101"),
    "negative dim": (edit(lambda c: c.update(dim=-4)), "W101"),
    "NaN temperature": (edit(lambda c: c.update(logit_scale=float("nan"))), "W101"),
    "another dim": (edit(lambda c: c.update(dim=5)), "W106"),
    "huge head": (edit(lambda c: c["towers"]["numbers"]["head"].update(hidden=10**9)), "W130"),
    "large head": (edit(lambda c: c["towers"]["numbers"]["head"].update(hidden=65_000, layers=32)), "W104"),
    "unknown head": (edit(lambda c: c["towers"]["numbers"].update(head={"kind": "pickle"})), "W130"),
    "head option of another type": (edit(lambda c: c["towers"]["numbers"]["head"].update(dim="4")), "W130"),
    "another encoder width": (edit(lambda c: c["towers"]["numbers"]["options"].update(width=7)), "W104"),
    "unknown encoder option": (edit(lambda c: c["towers"]["numbers"]["options"].update(path="/etc")), "P206"),
    "unknown encoder": (edit(lambda c: c["towers"]["numbers"].update(encoder="toys/none")), "P201"),
    "another modality": (edit(lambda c: c.update(towers={"images": c["towers"]["numbers"]})), "W106"),
    "another temperature": (edit(lambda c: c.update(logit_scale=9.0)), "W107"),
    "another hash": (edit(lambda c: c["towers"]["numbers"].update(weights_sha256="0" * 64)), "W107"),
    "malformed hash": (edit(lambda c: c["towers"]["numbers"].update(weights_sha256="zz")), "W101"),
    "no weights": (lambda folder: (folder / "weights.safetensors").unlink(), "W102"),
    "empty weights": (raw(lambda data: b""), "W103"),
    "truncated weights": (raw(lambda data: data[:-10]), "W103"),
    "truncated header": (raw(lambda data: data[:20]), "W103"),
    "pickle": (raw(lambda data: b"\x80\x04\x95" + data[3:]), "W103"),
    "huge header": (raw(lambda data: struct.pack("<Q", 2**60) + data[8:]), "W103"),
    "overlap": (header(lambda c: c[SECOND].update(data_offsets=c[FIRST]["data_offsets"])), "W103"),
    "offsets out of the file": (header(lambda c: c[FIRST].update(data_offsets=[0, 10**15])), "W103"),
    "shape beyond the data": (header(lambda c: c[FIRST].update(shape=[10**9])), "W103"),
    "shape that overflows": (header(lambda c: c[FIRST].update(shape=[2**63, 2**63])), "W103"),
    "missing tensor": (tensors(lambda c: c.pop(FIRST)), "W104"),
    "extra tensor": (tensors(lambda c: c.update({"numbers.head.extra": torch.ones(1)})), "W104"),
    "wrong shape": (tensors(lambda c: c.update({FIRST: torch.ones(7)})), "W104"),
    "NaN": (tensors(lambda c: c[FIRST].fill_(float("nan"))), "W105"),
    "infinity": (tensors(lambda c: c[FIRST].fill_(float("inf"))), "W105"),
    "changed weight": (tensors(lambda c: c[FIRST].add_(1e-3)), "W107"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_folder_is_one_sentence(toys: Registry, tmp_path: Path, name: str) -> None:
    make(toys).save(tmp_path)
    damage, code = DAMAGE[name]
    damage(tmp_path)
    with pytest.raises(VlcliError) as caught:
        Space.load(tmp_path, toys)
    assert caught.value.code == code, str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_save_that_fails_leaves_the_older_space(
    toys: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = make(toys)
    space.save(tmp_path)

    def full(*arguments: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(OSError, match="No space left"):
        make(toys, head={"dim": 4}).save(tmp_path)
    assert Space.load(tmp_path, toys).identity == space.identity
    assert sorted(path.name for path in tmp_path.iterdir()) == ["space.json", "weights.safetensors"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_an_os_error_whatever_library_writes() -> None:
    """safetensors and tokenizers raise errors of their own, without a number."""
    tokenizer = Tokenizer(WordLevel({"a": 0}, unk_token="a"))
    with pytest.raises(OSError, match="folder") as caught, system_errors(Path("folder")):
        tokenizer.save("/dev/full")
    assert caught.value.errno == errno.ENOSPC
    # What is no refusal of the system stays what it is.
    with pytest.raises(ValueError, match="other"), system_errors(Path("folder")):
        raise ValueError("other")


def test_a_refused_rename_names_the_file_that_the_user_knows(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(OSError) as caught:
        write_atomic(tmp_path / "there", "text")
    assert explain_os_error(caught.value).where == str(tmp_path / "there")


def test_a_save_torn_between_its_files_is_noticed(toys: Registry, tmp_path: Path) -> None:
    make(toys).save(tmp_path / "old")
    make(toys, head={"dim": 4}).save(tmp_path / "new")
    (tmp_path / "new" / "weights.safetensors").replace(tmp_path / "old" / "weights.safetensors")
    with pytest.raises(VlcliError, match="W104"):
        Space.load(tmp_path / "old", toys)


def test_a_checkpoint_folder_is_pointed_to_its_prefix(toys: Registry, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(VlcliError, match=f"write hf:{tmp_path}"):
        load_space(str(tmp_path), toys, "cpu")


def test_a_saved_space_takes_no_options(toys: Registry, tmp_path: Path) -> None:
    make(toys).save(tmp_path)
    with pytest.raises(VlcliError, match="takes no options"):
        load_space(str(tmp_path), toys, "cpu", {"width": 3})


@pytest.mark.parametrize(
    "spec",
    [
        {"kind": "identity"},
        {"kind": "centre"},
        {"dim": 3},
        {"kind": "linear", "dim": 3, "bias": True},
        {"kind": "mlp", "dim": 3},
        HEAD,
    ],
)
def test_heads_are_rebuilt_from_their_spec(spec: dict[str, Any]) -> None:
    head = build_head(spec, 6)
    again = build_head(head.spec, 6)
    again.load_state_dict(head.state_dict())
    vectors = torch.randn(5, 6)
    assert head(vectors).shape == (5, head.dim)
    assert torch.equal(head.eval()(vectors), again.eval()(vectors))


def test_mlp_is_what_its_options_say() -> None:
    head = build_head({"kind": "mlp", "dim": 3, "hidden": 4, "residual": True}, 6).eval()
    state, vectors = head.state_dict(), torch.randn(5, 6)
    hidden = torch.nn.functional.gelu(vectors @ state["body.0.weight"].T + state["body.0.bias"])
    expected = hidden @ state["body.3.weight"].T + state["body.3.bias"] + vectors @ state["shortcut.weight"].T
    torch.testing.assert_close(head(vectors), expected)
