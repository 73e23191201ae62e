import csv
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from vlcli.api import ModalitySpec
from vlcli.cli.main import run
from vlcli.errors import ExitCode
from vlcli.registry import Registry

pytestmark = pytest.mark.usefixtures("command_line")


def output(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_classify_json_csv_page_and_refusals(
    tmp_path: Path, swatches: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    files = swatches.write_swatches(tmp_path / "in", 1)
    (tmp_path / "in" / "zz.swatch").write_text("no")
    page, sheet = tmp_path / "page.html", tmp_path / "out.csv"
    code = run(["-q", "classify", str(tmp_path / "in"), "--labels", "red,green,blue,yellow", "--json", "--top", "2",
                "--html", str(page), "--csv", str(sheet)])  # fmt: skip
    found = output(capsys)
    assert code == ExitCode.REFUSED and found["schema"] == 1
    assert [result["label"] for result in found["results"]] == ["blue", "green", "red", "yellow"]
    assert [len(result["labels"]) for result in found["results"]] == [2] * 4
    assert [(item["code"], Path(item["path"]).name) for item in found["refused"]] == [("D999", "zz.swatch")]
    rows = list(csv.DictReader(sheet.open()))
    assert [row["label"] for row in rows] == ["blue", "green", "red", "yellow", ""]
    assert rows[-1]["refused"].startswith("D999")
    text = page.read_text()
    assert text.count("<img") == 4 and "zz.swatch" in text and str(files[0]) in text


def test_classify_prints_a_table(tmp_path: Path, swatches: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    file = swatches.write_swatches(tmp_path, 1)[0]
    assert run(["classify", str(file), "--labels", "red,green", "--space", "starter"]) == ExitCode.OK
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["item", "label", "share", "next"] and " red " in lines[1]


def test_the_space_settles_what_a_file_is(
    tmp_path: Path, swatches: ModuleType, command_line: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    other = ModalitySpec(name="sample", summary="others", target="swatches:Swatch", extensions=(".swatch",))
    command_line.add("others", "modality", other)
    swatches.write_swatches(tmp_path / "in", 1)
    arguments = ["classify", str(tmp_path / "in"), "--labels", "red,green", "--json"]
    assert run([*arguments, "--space", "starter"]) == ExitCode.OK
    assert {result["modality"] for result in output(capsys)["results"]} == {"swatch"}
    assert run([*arguments, "--modality", "swatch"]) == ExitCode.OK
    assert len(output(capsys)["results"]) == 4


@pytest.mark.parametrize(("arguments", "code", "says"), [
    (["--labels", "red"], ExitCode.USAGE, "U202"),
    ([], ExitCode.USAGE, "U201"),
    (["--labels", "red,green", "--template", "none"], ExitCode.USAGE, "U203"),
    (["--labels", "red,green", "--top", "0"], ExitCode.USAGE, "U305"),
    (["--labels", "red,green", "--space", "startr"], ExitCode.PLUGIN, "did you mean 'starter'"),
])  # fmt: skip
def test_classify_usage_errors(
    tmp_path: Path, swatches: ModuleType, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, says: str
) -> None:
    file = swatches.write_swatches(tmp_path, 1)[0]
    assert run(["classify", str(file), *arguments]) == code
    error = capsys.readouterr().err
    assert says in error and len(error.strip().splitlines()) == 1


def test_eval_of_an_own_table(tmp_path: Path, swatches: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    files = swatches.write_swatches(tmp_path / "in", 1)
    table = tmp_path / "mine.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "caption", "label"])
        for swatch in files:
            writer.writerow([swatch, f"a {swatch.parent.name} thing", swatch.parent.name])
    page = tmp_path / "eval.html"
    arguments = ["eval", "starter", "--data", str(table), "--bootstrap", "200"]
    assert run(["-q", *arguments, "--json", "--html", str(page)]) == ExitCode.OK
    found = output(capsys)
    assert (found["task"], found["n"]) == ("retrieval", 4)
    metric = found["metrics"]["text_to_swatch/R@1"]
    assert metric["value"] == 1.0 and metric["chance"] == 0.25 and len(metric["ci95"]) == 2
    assert "95 % interval" in page.read_text()
    assert run([*arguments, "--task", "zero-shot"]) == ExitCode.OK
    printed = capsys.readouterr().out
    assert "accuracy" in printed and "chance" in printed and "split: all" in printed
    assert run([*arguments, "--task", "zeroshot"]) == ExitCode.USAGE
    assert "did you mean 'zero-shot'" in capsys.readouterr().err


def test_eval_with_refusals_says_so(tmp_path: Path, swatches: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    swatches.write_swatches(tmp_path / "in", 2)
    (tmp_path / "in" / "red" / "zz.swatch").write_text("no")
    code = run(["-q", "eval", "starter", "--data", str(tmp_path / "in"), "--task", "zero-shot", "--json"])
    found = output(capsys)
    assert code == ExitCode.REFUSED and found["n"] == 8 and [item["code"] for item in found["refused"]] == ["D999"]


def test_methods_and_their_evidence(tmp_path: Path, command_line: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    from vlcli.api import MethodSpec

    for name in ("good", "bad", "new"):
        command_line.add("swatches", "method", MethodSpec(
            name=name, summary=f"the {name} one", target="swatches:starter", paper=f"On {name}", kind=("align",),
            recipe=f"swatches/{name}"))  # fmt: skip
    evidence = tmp_path / "home" / "evidence"
    evidence.mkdir(parents=True)
    for name, passed in (("good", True), ("bad", False)):
        (evidence / f"{name}.json").write_text(json.dumps({
            "schema": 1, "method": name, "claim": "it helps", "data": "swatches", "seeds": [1, 2], "passed": passed,
            "arms": {"with": {"R@1": {"mean": 0.5, "ci95": [0.4, 0.6], "values": [0.4, 0.6]}}},
            "conditions": [{"text": "with > without", "passed": passed}]}))  # fmt: skip
    assert run(["methods", "list", "--json"]) == ExitCode.OK
    methods = output(capsys)["methods"]
    assert {m["name"]: m["evidence"] for m in methods} == {"good": "passed", "bad": "failed", "new": "none"}
    assert set(methods[0]) == {"name", "plugin", "kind", "paper", "recipe", "evidence"}
    assert run(["methods", "list"]) == ExitCode.OK
    assert "On good" in capsys.readouterr().out
    assert run(["methods", "show", "bad"]) == ExitCode.OK
    shown = capsys.readouterr().out
    assert "FAILED  with > without" in shown and "0.400 – 0.600" in shown
    assert run(["methods", "show", "bad", "--json"]) == ExitCode.OK
    assert output(capsys)["details"]["claim"] == "it helps"
    assert run(["methods", "show", "goood"]) == ExitCode.PLUGIN
    assert "did you mean 'good'" in capsys.readouterr().err
    (evidence / "new.json").write_text("{")
    assert run(["methods", "list"]) == ExitCode.OK
    printed = capsys.readouterr()
    assert "E601" in printed.err and "On good" in printed.out
    assert run(["methods", "show", "new"]) == ExitCode.FAILED
