"""`vlcli methods`: the papers that can be run, and what evidence there is that they hold."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlcli.cli.output import emit_json, table
from vlcli.cli.state import state_of

if TYPE_CHECKING:
    from vlcli.registry import Entry

app = typer.Typer(
    rich_markup_mode=None, add_completion=False, no_args_is_help=True,
    help="List and show methods and their evidence.", context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip


@app.command("list", help="List the methods of all plugins.", epilog="Example: vlcli methods list --json")
def list_methods(
    ctx: typer.Context,
    kind: Annotated[str | None, typer.Option(help="Only methods of this kind: align, pretrain, generate …")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print name, plugin, kind, recipe and evidence of each method."""
    from vlcli.errors import VlcliError

    state = state_of(ctx)
    found = []
    for entry in state.registry.list("method"):
        if kind is not None and kind not in entry.spec.kind:
            continue
        try:
            evidence = read_evidence(entry.spec.name)
        except VlcliError as error:
            # One damaged file must not hide the other methods.
            state.note(str(error))
            evidence = None
        found.append(describe(entry, evidence))
    if json:
        emit_json({"methods": found})
        return
    rows = [(m["name"], m["plugin"], " + ".join(m["kind"]), m["evidence"], m["recipe"] or "–", m["paper"])
            for m in found]  # fmt: skip
    typer.echo(table(["method", "plugin", "kind", "evidence", "recipe", "paper"], rows))


@app.command("show", help="Show one method and its evidence.", epilog="Example: vlcli methods show align")
def show_method(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="The method, as `vlcli methods list` names it.")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print what a method is, how to run it, and the numbers of its claim."""
    entry = state_of(ctx).registry.find("method", name)
    evidence = read_evidence(entry.spec.name)
    found = {**describe(entry, evidence), "summary": entry.spec.summary, "requires": list(entry.spec.requires)}
    if json:
        emit_json({**found, "details": evidence})
        return
    for key in ("name", "plugin", "summary", "paper", "kind", "recipe", "requires", "evidence"):
        value = found[key]
        typer.echo(f"{key:10}{', '.join(value) if isinstance(value, list) else value}".rstrip())
    if evidence is not None:
        show_evidence(evidence)


def describe(entry: Entry, evidence: dict[str, Any] | None) -> dict[str, Any]:
    """A method as `vlcli methods list --json` prints it."""
    spec = entry.spec
    return {"name": spec.name, "plugin": entry.plugin, "kind": list(spec.kind), "paper": spec.paper,
            "recipe": spec.recipe, "evidence": verdict(evidence)}  # fmt: skip


def evidence_folders() -> list[Path]:
    """Where evidence is looked for: what was measured on this machine first, then what the project ships."""
    import vlcli
    from vlcli.runtime.paths import home

    checkout = Path(vlcli.__file__).resolve().parents[1]
    shipped = [checkout / "docs" / "evidence"] if (checkout / "pyproject.toml").is_file() else []
    return [home() / "evidence", *shipped]


def read_evidence(method: str) -> dict[str, Any] | None:
    """The evidence file of a method, or None when it was never measured.

    Raises:
        VlcliError: E601 when the file is damaged.
    """
    import json

    from vlcli.errors import VlcliError

    for folder in evidence_folders():
        file = folder / f"{method}.json"
        if not file.is_file():
            continue
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise VlcliError("E601", str(file), f"is damaged ({error})", f"run `vlcli reproduce {method}`") from error
        if not isinstance(found, dict):
            raise VlcliError("E601", str(file), "must hold a JSON object", f"run `vlcli reproduce {method}`")
        return found
    return None


def verdict(evidence: dict[str, Any] | None) -> str:
    """`passed`, `failed`, or `none` when the claim was never tested."""
    if evidence is None or "passed" not in evidence:
        return "none"
    return "passed" if evidence["passed"] is True else "failed"


def show_evidence(evidence: dict[str, Any]) -> None:
    """The claim, its numbers and its conditions."""
    typer.echo(f"\nclaim     {evidence.get('claim', '')}")
    typer.echo(f"data      {evidence.get('data', '')}, seeds {', '.join(map(str, evidence.get('seeds', [])))}\n")
    rows = []
    for arm, metrics in evidence.get("arms", {}).items():
        for metric, values in metrics.items():
            low, high = values.get("ci95") or (None, None)
            bounds = f"{low:.3f} – {high:.3f}" if low is not None and high is not None else "–"
            rows.append((arm, metric, f"{values['mean']:.3f}", bounds, len(values.get("values", []))))
    typer.echo(table(["arm", "metric", "mean", "95 % interval", "seeds"], rows))
    for condition in evidence.get("conditions", []):
        typer.echo(f"{'passed' if condition['passed'] else 'FAILED'}  {condition['text']}")
