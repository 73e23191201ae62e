"""The root command: global options, lazy sub-commands, and one place where errors become exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import CompletionItem, TyperGroup  # type: ignore[attr-defined]

from vlcli import __version__
from vlcli.cli import CORE_COMMANDS
from vlcli.cli.state import State, state_of
from vlcli.errors import ExitCode, VlcliError

if TYPE_CHECKING:
    from vlcli.registry import Entry, Registry


COMPLETE_VARIABLE = "_VLCLI_COMPLETE"


class LazyGroup(TyperGroup):
    """A group whose sub-commands are imported when they run: `--help` only needs their one-line summaries.

    Verbs of the core are resolved without loading any plugin, so `vlcli plugins doctor` and `vlcli plugins disable`
    work even when a plugin kills the process that imports it.
    """

    def plugin_commands(self, ctx: Any) -> dict[str, Any]:
        """Name -> registry entry of the commands that plugins add; a clash between plugins needs the full name."""
        registry = state_of(ctx).registry
        return {name: registry.find("command", name) for name in registry.names("command")}

    def list_commands(self, ctx: Any) -> list[str]:
        return [*CORE_COMMANDS, *self.plugin_commands(ctx)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in CORE_COMMANDS:
            from vlcli.registry import import_target

            return with_completions(as_command(import_target(CORE_COMMANDS[cmd_name][0]), cmd_name))
        registry = state_of(ctx).registry
        if not any(cmd_name in (entry.name, entry.spec.name) for entry in registry.list("command")):
            return None
        return with_completions(plugin_command(registry, registry.find("command", cmd_name), cmd_name))

    def shell_complete(self, ctx: Any, incomplete: str) -> list[CompletionItem]:
        # Typer would import every sub-command for its one line of help.
        rows = {name: summary for name, (_, summary) in CORE_COMMANDS.items()}
        rows |= {name: entry.spec.summary for name, entry in self.plugin_commands(ctx).items()}
        found = [CompletionItem(name, help=text) for name, text in rows.items() if name.startswith(incomplete)]
        return found + super(TyperGroup, self).shell_complete(ctx, incomplete)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        # Typer's suggestion looks only at commands that are already loaded.
        name = args[0] if args else ""
        if name and not name.startswith("-") and name not in CORE_COMMANDS and self.get_command(ctx, name) is None:
            from vlcli.errors import did_you_mean

            hint = did_you_mean(name, self.list_commands(ctx)) or "see `vlcli --help`"
            raise VlcliError("U101", "", f"there is no command '{name}'", hint)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        rows = [(name, summary) for name, (_, summary) in CORE_COMMANDS.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
        plugin_rows = [(name, f"{entry.spec.summary} [{entry.plugin}]")
                       for name, entry in self.plugin_commands(ctx).items()]  # fmt: skip
        if plugin_rows:
            with formatter.section("Commands of plugins"):
                formatter.write_dl(plugin_rows)


def plugin_command(registry: Registry, entry: Entry, name: str) -> Any:
    """The command that a plugin registered.

    Raises:
        VlcliError: P207 when its target is not a Typer app, or is one that Typer can not turn into a command.
    """
    from vlcli.isolation import describe

    remedy = f"run `vlcli plugins doctor {entry.plugin}`"
    plugin_app = registry.load(entry)
    if not isinstance(plugin_app, typer.Typer):
        raise VlcliError("P207", entry.name, f"its target '{entry.spec.target}' is not a typer.Typer", remedy)
    try:
        return as_command(plugin_app, name)
    except Exception as error:
        raise VlcliError("P207", entry.name, f"its Typer app can not be built ({describe(error)})", remedy) from error


def with_completions(command: Any) -> Any:
    """The command, its parameters completed by their names when the shell asks for that."""
    if not is_completing():
        return command
    from vlcli.cli.completion import add_completions

    return add_completions(command)


def is_completing() -> bool:
    """Whether the shell asks for completions instead of running a command."""
    return COMPLETE_VARIABLE in os.environ


def as_command(app: typer.Typer, name: str) -> Any:
    """The Typer app as a command under this name."""
    command = typer.main.get_command(app)
    command.name = name
    return command


def hoist_global_options(arguments: list[str]) -> list[str]:
    """Move global options to the front, so that `vlcli embed … --debug` means the same as `vlcli --debug embed …`.

    A plugin's command may have its own `--quiet` and `--verbose`; there only the two that concern plugins move.
    """
    end = arguments.index("--") if "--" in arguments else len(arguments)
    head, rest = arguments[:end], arguments[end:]
    verb = next((word for word in head if not word.startswith("-")), "")
    movable = {"--debug", "--no-plugins"} | ({"--quiet", "--verbose"} if verb in CORE_COMMANDS else set())
    return [word for word in head if word in movable] + [word for word in head if word not in movable] + rest


app = typer.Typer(
    cls=LazyGroup, name="vlcli", rich_markup_mode=None, no_args_is_help=True, pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with: vlcli recipes list  ·  vlcli embed FOLDER --store photos  ·  vlcli search photos \"a dog\"",
)  # fmt: skip


def show_version(wanted: bool) -> None:
    """Print the version and stop."""
    if wanted:
        typer.echo(f"vlcli {__version__}")
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no notes.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="More notes on stderr.")] = False,
    no_plugins: Annotated[bool, typer.Option("--no-plugins", help="Load no installed plugin.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Align any modality with language, then use it: embed, search, classify, evaluate."""
    state: MutableMapping[str, Any] | State | None = ctx.obj
    if not isinstance(state, State):
        raise RuntimeError("the root command needs a State as its context object")
    state.debug, state.quiet, state.verbose = debug, quiet, verbose


def run(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code; tests call it in process, `main` from the shell."""
    arguments = hoist_global_options(list(sys.argv[1:] if arguments is None else arguments))
    # Both decide what --help shows, so they must be known before the group is asked for its commands.
    state = State(debug="--debug" in arguments, third_party="--no-plugins" not in arguments)
    if is_completing():
        return complete(state)
    try:
        command = typer.main.get_command(app)
        result = command.main(args=arguments, prog_name="vlcli", standalone_mode=False, obj=state)
        if result == ExitCode.INTERRUPTED:
            # Typer turns Ctrl-C inside a command into this code.
            raise KeyboardInterrupt
        return int(result) if isinstance(result, int) else ExitCode.OK
    except VlcliError as error:
        if state.debug:
            raise
        print(error, file=sys.stderr)
        return int(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        print("vlcli: interrupted; what was acknowledged is kept, run the same command again to go on", file=sys.stderr)
        return int(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        # The reader (head, less) has gone: not an error, but Python must not flush into it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(ExitCode.OK)
    except Exception as error:  # noqa: BLE001 - told as one sentence, shown whole with --debug
        return report_unexpected(error, state)


def complete(state: State) -> int:
    """Answer the shell's <TAB>: completions on stdout, or nothing; a message would land in the user's prompt."""
    import contextlib
    import io

    from vlcli.isolation import import_fence

    # A heavy import would make <TAB> take seconds: a command that needs one is not completed further. Typer itself
    # needs pydantic for some types of parameters.
    with contextlib.redirect_stderr(io.StringIO()), import_fence(allowed=frozenset({"pydantic"})):
        try:
            typer.main.get_command(app).main(args=[], prog_name="vlcli", obj=state, complete_var=COMPLETE_VARIABLE)
        except Exception:  # noqa: BLE001 - whatever is wrong, the command itself will say it when it is run
            return int(ExitCode.FAILED)
        except SystemExit as stop:
            return int(stop.code) if isinstance(stop.code, int) else int(ExitCode.FAILED)
    return int(ExitCode.OK)


def report_unexpected(error: Exception, state: State) -> int:
    """Usage errors of Typer, operating-system errors, memory, and what nobody expected: one sentence each."""
    show = getattr(error, "show", None)
    if callable(show) and hasattr(error, "exit_code"):
        show()
        return int(error.exit_code)
    if state.debug:
        raise error
    if isinstance(error, OSError):
        from vlcli.cli.system_errors import explain_os_error

        print(explain_os_error(error), file=sys.stderr)
    elif isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        print(f"error[X201]: out of memory ({error}) — lower --batch-size, or the recipe's micro_batch",
              file=sys.stderr)  # fmt: skip
    else:
        print(f"error[X999]: {type(error).__name__}: {error} — run again with --debug for the traceback",
              file=sys.stderr)  # fmt: skip
    return int(ExitCode.FAILED)


def main() -> None:
    """Entry point of the `vlcli` script."""
    sys.exit(run())
