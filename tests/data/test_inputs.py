"""What users point at: files, folders, globs, manifests, lists; nothing is lost silently."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest

from vlcli.data.inputs import InputItem, RefusedInput, SkippedInput, expand_inputs
from vlcli.data.names import printable, real_path
from vlcli.errors import VlcliError
from vlcli.registry import Registry


def make(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"content of {name}")


def expand(registry: Registry, *inputs: object, **options: object) -> list:
    return list(expand_inputs([str(entry) for entry in inputs], registry, **options))  # type: ignore[arg-type]


def names(entries: list, kind: type = InputItem) -> list[str]:
    found = [entry.source.id if isinstance(entry, InputItem) else entry.path for entry in entries
             if isinstance(entry, kind)]  # fmt: skip
    return [Path(name).name for name in found]


def error(registry: Registry, *inputs: object, **options: object) -> VlcliError:
    with pytest.raises(VlcliError) as caught:
        expand(registry, *inputs, **options)
    return caught.value


def test_a_folder_is_walked_in_order(registry: Registry, tmp_path: Path) -> None:
    make(tmp_path, "b.toy", "a/z.toy", "a/c/y.TOY", ".hidden.toy", ".git/x.toy", "notes.md", "Z.toy")
    found = expand(registry, tmp_path)
    assert names(found) == ["Z.toy", "y.TOY", "z.toy", "b.toy"]
    assert names(found, SkippedInput) == ["notes.md"]
    assert all(entry.source.path.is_absolute() for entry in found if isinstance(entry, InputItem))


def test_ids_do_not_depend_on_the_working_directory(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "in/a.toy")
    monkeypatch.chdir(tmp_path)
    one = expand(registry, "in")
    monkeypatch.chdir(tmp_path / "in")
    assert expand(registry, "../in/") == one == expand(registry, ".")


def test_link_loops_end(registry: Registry, tmp_path: Path) -> None:
    make(tmp_path, "a/one.toy")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    (tmp_path / "a" / "self").symlink_to(tmp_path / "a" / "self")
    (tmp_path / "gone.toy").symlink_to(tmp_path / "nowhere")
    found = expand(registry, tmp_path)
    assert names(found) == ["one.toy", "gone.toy"]  # the dangling link is refused when it is read, with its reason
    assert names(found, SkippedInput) == ["self"]


def test_deep_folders(registry: Registry, tmp_path: Path) -> None:
    make(tmp_path, "/".join(["d"] * 300) + "/deep.toy")
    assert names(expand(registry, tmp_path)) == ["deep.toy"]


def test_names_that_are_not_utf8(registry: Registry, tmp_path: Path) -> None:
    raw = os.fsencode(tmp_path) + b"/na\xefve.toy"
    with open(raw, "wb") as file:
        file.write(b"x")
    (item,) = expand(registry, tmp_path)
    json.dumps(item.source.id, ensure_ascii=False).encode("utf-8")
    assert item.source.id.endswith("na\\xefve.toy")
    assert item.source.path.read_bytes() == b"x"
    assert os.fsencode(real_path(printable(item.source.path))) == raw


def test_globs(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "a/1.toy", "a/b/2.toy", "a/n.md", "[x].toy")
    monkeypatch.chdir(tmp_path)
    assert names(expand(registry, "a/**/*.toy")) == ["1.toy", "2.toy"]
    assert names(expand(registry, "a/*")) == ["1.toy", "2.toy"]
    assert names(expand(registry, "[x].toy")) == ["[x].toy"]  # a file of that very name
    assert error(registry, "a/*.png").code == "D101"


def test_a_named_file_of_unknown_type_is_refused(registry: Registry, tmp_path: Path) -> None:
    make(tmp_path, "n.md", "README")
    found = expand(registry, tmp_path / "n.md", tmp_path / "README")
    assert [entry.code for entry in found] == ["D103", "D103"]
    assert "--modality" in found[0].reason
    (forced,) = expand(registry, tmp_path / "n.md", modality="toys")
    assert forced.modality == "toys"


def test_an_extension_of_two_modalities(registry: Registry, tmp_path: Path) -> None:
    make(tmp_path, "x.both")
    (found,) = expand(registry, tmp_path / "x.both")
    assert found.code == "D104"
    assert "text or toys" in found.reason
    assert expand(registry, tmp_path / "x.both", modality="toys")[0].modality == "toys"
    assert expand(registry, tmp_path / "x.both", accepted=["toys", "speech"])[0].modality == "toys"


def test_modalities_that_become_known_after_the_inputs_were_looked_at(registry: Registry, tmp_path: Path) -> None:
    make(tmp_path, "folder/a.both", "folder/b.both")
    (tmp_path / "m.csv").write_text("path,colour\nfolder/a.both,red\n")
    for given in (tmp_path / "folder", f"{tmp_path}/folder/*.both", tmp_path / "folder" / "a.both", tmp_path / "m.csv"):
        accepted: list[str] = []
        expanded = expand_inputs([str(given)], registry, accepted=accepted)
        accepted.append("toys")
        found = list(expanded)
        assert {entry.modality for entry in found if isinstance(entry, InputItem)} == {"toys"}, given
        assert all(isinstance(entry, InputItem) for entry in found)
        undecided = list(expand_inputs([str(given)], registry, accepted=[]))
        assert {entry.code for entry in undecided if isinstance(entry, RefusedInput)} == {"D104"}
        assert len(undecided) == len(found)
    assert isinstance(found[0], InputItem) and found[0].source.metadata["colour"] == "red"


def test_errors_come_before_any_work(registry: Registry, tmp_path: Path) -> None:
    make(tmp_path, "photos/a.toy", "only/n.md")
    (tmp_path / "empty").mkdir()
    missing = error(registry, tmp_path / "photos", tmp_path / "photo")
    assert missing.code == "D101"
    assert "did you mean 'photos'" in missing.help
    assert error(registry, tmp_path / "empty").code == "D102"
    nothing = error(registry, tmp_path / "only")
    assert nothing.code == "D102"
    assert "1 × .md" in nothing.message
    assert error(registry, "https://example.com/a.toy").code == "D101"
    assert error(registry).code == "U131"
    assert error(registry, tmp_path / "photos", modality="toy").code == "P201"
    with pytest.raises(VlcliError):
        expand_inputs([str(tmp_path / "photo")], registry)  # not even asked for the first item


def test_a_list_on_standard_input(registry: Registry, tmp_path: Path) -> None:
    make(tmp_path, "a.toy", "b c.toy", "new\nline.toy")
    lines = f"{tmp_path}/a.toy\r\n\n{tmp_path}/b c.toy\n{tmp_path}/gone.toy".encode()
    found = expand(registry, "-", stdin=io.BytesIO(lines))
    assert names(found) == ["a.toy", "b c.toy", "gone.toy"]
    nul = f"{tmp_path}/new\nline.toy\0{tmp_path}/a.toy\0".encode()
    assert names(expand(registry, "-", stdin=io.BytesIO(nul))) == ["new\nline.toy", "a.toy"]
    assert error(registry, "-", stdin=io.BytesIO(b"\n")).code == "D102"


def test_a_file_that_holds_many(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("one\ntwo\n")
    found = expand(registry, tmp_path / "lines.txt")
    assert [entry.source.value for entry in found] == ["one", "two"]
    (tmp_path / "latin.txt").write_bytes(b"\xff\xfe\xfa")
    (found,) = expand(registry, tmp_path / "latin.txt")
    assert found.code == "D190"
    assert "UnicodeDecodeError" in found.reason


def test_a_registered_data_set(registry: Registry) -> None:
    found = expand(registry, "data:two-toys")
    assert [entry.source.value for entry in found] == ["toy 0", "toy 1"]
    assert found[1].source.metadata == {"caption": "a toy 1 | x", "label": "toy", "split": "test", "n": 1}
    assert error(registry, "data:two-toy").code == "D201"


def test_a_manifest_of_files(registry: Registry, tmp_path: Path) -> None:
    make(tmp_path, "in/a.toy", "in/b.toy", "in/c.md")
    (tmp_path / "list.csv").write_text(
        'Path,caption,year,code\nin/a.toy,"first, with comma",2024,007\nin/b.toy\nin/b.toy,,1.5,x\n,no file,,\n'
        "in/c.md,x,1,y\n\nin/none.toy,late,2,z\n"
    )
    found = expand(registry, tmp_path / "list.csv")
    assert names(found) == ["a.toy", "b.toy", "none.toy"]
    assert found[0].source.metadata == {"year": 2024, "code": "007", "caption": "first, with comma"}
    refusals = [entry for entry in found if isinstance(entry, RefusedInput)]
    assert [(Path(entry.path).name, entry.code) for entry in refusals] == [
        ("list.csv#3", "D106"), ("list.csv#5", "D106"), ("c.md", "D103"),
    ]  # fmt: skip
    assert "1 cells" in refusals[0].reason


def test_a_manifest_of_texts(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "texts.tsv").write_text("text\tlang\nhello\ten\nhallo\tde\n \ten\n")
    found = expand(registry, tmp_path / "texts.tsv")
    assert [(e.modality, e.source.value, e.source.metadata) for e in found[:2]] == [
        ("text", "hello", {"lang": "en"}), ("text", "hallo", {"lang": "de"}),
    ]  # fmt: skip
    assert found[0].source.id.endswith("texts.tsv#2")
    assert found[2].code == "D106"


def test_a_table_without_usable_columns_is_an_error_at_once(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("pth,captoin\na.toy,x\n")
    with pytest.raises(VlcliError, match="D107"):
        expand_inputs([str(tmp_path / "list.csv")], registry)
    (tmp_path / "none.csv").write_text("path\n")
    assert error(registry, tmp_path / "none.csv").code == "D102"
    (tmp_path / "mixed.jsonl").write_text('{"path": "a.toy"}\n{"other": 1}\n{"text": "words"}\n')
    found = expand(registry, tmp_path / "mixed.jsonl")
    assert [getattr(entry, "code", entry.modality if isinstance(entry, InputItem) else "") for entry in found] == [
        "toys", "D107", "text",
    ]  # fmt: skip


def test_a_folder_does_not_unfold_manifests(registry: Registry, tmp_path: Path) -> None:
    make(tmp_path, "a.toy")
    (tmp_path / "list.csv").write_text("path\na.toy\n")
    assert names(expand(registry, tmp_path)) == ["a.toy"]
    assert names(expand(registry, tmp_path), SkippedInput) == ["list.csv"]
