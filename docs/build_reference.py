"""Write the generated pages: `docs/reference.md`, and the tables of `docs/methods-and-evidence.md`.

    python docs/build_reference.py            # write both
    python docs/build_reference.py --check    # exit 1 when a page is out of date

The reference covers the verbs of the core. Evidence comes from `docs/evidence/*.json`, which `vlcli reproduce` writes;
methods without such a file are listed as not measured.
"""

from __future__ import annotations

import argparse
import inspect
import json
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from vlcli.cli.main import app, as_command
from vlcli.plugins import load_plugins
from vlcli.registry import import_target
from vlcli.verbs import CORE_COMMANDS

DOCS = Path(__file__).parent
REFERENCE = DOCS / "reference.md"
METHODS = DOCS / "methods-and-evidence.md"
EVIDENCE = DOCS / "evidence"
BEGIN, END = "<!-- generated: evidence -->", "<!-- end of generated -->"
GENERATED = "<!-- Made by docs/build_reference.py from the code; edit the code instead. -->"
WIDTH = 10_000  # usage lines are not wrapped: the page must not depend on a terminal


def main() -> int:
    """Write or check the pages."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a page is out of date")
    check = parser.parse_args().check
    stale = []
    for path, text in pages().items():
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(path)
        if not check:
            path.write_text(text, encoding="utf-8")
    for path in stale:
        print(f"{path.name}: {'out of date' if check else 'written'}")
    return int(check and bool(stale))


def pages() -> dict[Path, str]:
    """Every generated page with the text that it should have."""
    methods = METHODS.read_text(encoding="utf-8")
    return {REFERENCE: reference_page(), METHODS: with_evidence(methods, evidence_section(EVIDENCE))}


# The command line


def reference_page() -> str:
    """The page of all commands."""
    parts = [GENERATED, "# Command line reference", *root_section()]
    for verb, (target, _) in CORE_COMMANDS.items():
        parts += command_section(as_command(import_target(target), verb), f"vlcli {verb}", 2)
    return "\n\n".join(parts) + "\n"


def root_section() -> list[str]:
    """The options that stand before any verb, and the list of verbs."""
    root = typer.main.get_command(app)
    context = context_of(root, "vlcli")
    rows = [(f"[`vlcli {verb}`](#vlcli-{verb})", summary) for verb, (_, summary) in CORE_COMMANDS.items()]
    return [
        "Every command also answers to `--help`. The options in this table may stand anywhere on the line.",
        records_table("option", root, context),
        table(["command", "what it does"], rows),
        "What the exit codes mean is in [Using vlcli](using.md#exit-codes).",
    ]


def command_section(command: Any, name: str, level: int) -> Iterator[str]:
    """A command, and for a group all commands in it."""
    context = context_of(command, name)
    yield f"{'#' * level} {name}"
    yield escape(" ".join((command.help or "").split()))
    subcommands = [(key, command.get_command(context, key)) for key in getattr(command, "commands", {})]
    if not subcommands:
        yield f"```text\n{command.get_usage(context).removeprefix('Usage: ')}\n```"
    for kind in ("argument", "option"):
        text = records_table(kind, command, context)
        if text and not subcommands:
            yield text
    if command.epilog:
        yield epilog(command.epilog)
    for key, subcommand in subcommands:
        if not subcommand.hidden:
            yield from command_section(subcommand, f"{name} {key}", level + 1)


def context_of(command: Any, name: str) -> Any:
    """A context in which the command describes itself without a terminal's width."""
    return command.context_class(command, info_name=name, terminal_width=WIDTH, max_content_width=WIDTH)


def records_table(kind: str, command: Any, context: Any) -> str:
    """Arguments or options with their help; empty when there are none but `--help`."""
    rows = []
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is None or parameter.param_type_name != kind or parameter.name == "help":
            continue
        name, help_text = record
        rows.append((f"`{name}`", escape(" ".join(help_text.split()))))
    return table([kind, "meaning"], rows) if rows else ""


def epilog(text: str) -> str:
    """Example commands as a block, anything else as a sentence."""
    clean = inspect.cleandoc(text.replace("\b", "")).strip()
    for word in ("Examples:", "Example:"):
        if clean.startswith(word):
            lines = [part.strip() for line in clean.removeprefix(word).split("\n") for part in line.split("·")]
            return "```sh\n" + "\n".join(line for line in lines if line) + "\n```"
    return escape(" ".join(clean.split()))


# Evidence


def with_evidence(page: str, section: str) -> str:
    """The page with the part between its two marks replaced."""
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{METHODS.name}: the marks '{BEGIN}' and '{END}' are missing")
    return f"{head}{BEGIN}\n\n{section}\n\n{END}{tail}"


def evidence_section(folder: Path) -> str:
    """The table of all methods, and for every measured one its arms and conditions."""
    found = read_evidence(folder)
    methods = first_party_methods()
    rows = []
    for name in sorted({*methods, *found}):
        evidence, spec = found.get(name), methods.get(name, {})
        link = f"[{name}](#{name})" if evidence else name
        paper = (evidence or {}).get("paper") or spec.get("paper") or "–"
        rows.append((link, verdict(evidence), spec.get("recipe") or "–", escape(paper)))
    parts = [table(["method", "claim at this scale", "recipe", "paper"], rows)]
    for name in sorted(found):
        parts += method_section(name, found[name], folder)
    return "\n\n".join(parts)


def read_evidence(folder: Path) -> dict[str, Any]:
    """Method -> evidence; files of other kinds are left out."""
    files = sorted(folder.glob("*.json")) if folder.is_dir() else []
    contents = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    return {content["method"]: content for content in contents if "arms" in content}


def first_party_methods() -> dict[str, dict[str, str]]:
    """What this repository registers; other installed plugins do not belong on the page."""
    ours = {"core", *(path.name.removeprefix("vlcli-") for path in (DOCS.parent / "plugins").glob("vlcli-*"))}
    registry = load_plugins().registry
    return {
        entry.spec.name: {"paper": entry.spec.paper, "recipe": entry.spec.recipe}
        for entry in registry.list("method")
        if entry.plugin in ours
    }


def verdict(evidence: Mapping[str, Any] | None) -> str:
    """One word or two."""
    if evidence is None:
        return "not measured"
    return "reproduced" if evidence["passed"] else "**not reproduced**"


def method_section(name: str, evidence: Mapping[str, Any], folder: Path) -> Iterator[str]:
    """Claim, arms with intervals, conditions with what was found, and how it was made."""
    seeds = ", ".join(str(seed) for seed in evidence["seeds"])
    yield f"### {name}"
    if evidence["paper"]:
        yield f"*{escape(evidence['paper'])}*"
    yield f"Claim: {escape(evidence['claim'])} **{verdict(evidence).strip('*').capitalize()}.**"
    yield f"Data `{evidence['data']}`, seeds {seeds}; mean over the seeds with its 95 % interval."
    metrics = metrics_shown(evidence)
    rows = []
    for arm, values in evidence["arms"].items():
        rows.append((f"`{arm}`", *(interval(values[metric]) if metric in values else "–" for metric in metrics)))
    yield table(["arm", *(f"`{metric}`" for metric in metrics)], rows)
    yield conditions_table(evidence)
    if (folder / f"{name}.svg").is_file():
        yield f"![{name}: every arm with its interval]({folder.name}/{name}.svg)"
    minutes = evidence["seconds"] / 60
    yield f"{minutes:.0f} minutes on {evidence['device']}. Made by `{command_shown(evidence['command'])}`."


def command_shown(command: str) -> str:
    """The command without what depends on the machine: where the run's folder was, and whether it was quiet."""
    words = shlex.split(command)
    kept = [word for index, word in enumerate(words) if word not in ("-q", "--quiet", "--out")
            and words[index - 1] != "--out"]  # fmt: skip
    return shlex.join(kept)


def metrics_shown(evidence: Mapping[str, Any]) -> list[str]:
    """The claim's metric first, then the recall at 1 of other test sets, so that the table stays readable."""
    names = [name for values in evidence["arms"].values() for name in values]
    main = [evidence["metric"]] if evidence.get("metric") in names else []
    others = [name for name in dict.fromkeys(names) if name.startswith("test") and name.endswith("R@1")]
    return [*main, *(name for name in others if name not in main)][:4]


def interval(value: Mapping[str, Any]) -> str:
    """`0.412 (0.398 – 0.426)`."""
    low, high = value["ci95"]
    return f"{value['mean']:.3f} ({low:.3f} – {high:.3f})"


def conditions_table(evidence: Mapping[str, Any]) -> str:
    """Every condition and the negative control, whichever way they turned out."""
    rows = [(escape(one["text"]), difference(one), f"{one.get('margin', 0):+.3f}",
             "holds" if one["passed"] else "**fails**") for one in evidence["conditions"]]  # fmt: skip
    control = evidence.get("negative_control")
    if control:
        result = "**holds, and should not**" if control["passed"] else "fails, as it should"
        rows.append((f"negative control: {escape(control['text'])}", difference(control),
                     f"{control.get('margin', 0):+.3f}", result))  # fmt: skip
    return table(["condition", "difference (95 % interval)", "needed", "result"], rows)


def difference(condition: Mapping[str, Any]) -> str:
    """The paired difference with its interval, where it was recorded."""
    if "difference" not in condition:
        return "–"
    low, high = condition["ci95"]
    return f"{condition['difference']:+.3f} ({low:+.3f} – {high:+.3f})"


# Markdown


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def escape(text: str) -> str:
    """Text that Markdown shows as it stands; code in backquotes is left alone."""
    parts = text.split("`")
    for index in range(0, len(parts), 2):
        for character in "\\*_[]":
            parts[index] = parts[index].replace(character, "\\" + character)
        parts[index] = parts[index].replace("<", "&lt;")
    return "`".join(parts)


if __name__ == "__main__":
    sys.exit(main())
