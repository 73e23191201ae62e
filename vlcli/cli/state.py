"""What the global options decide, handed to every command through the Typer context."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

    from vlcli.plugins import Plugins
    from vlcli.registry import Registry


@dataclass
class State:
    """Global options and the loaded plugins.

    Attributes:
        debug: show tracebacks.
        quiet: no progress and no notes on stderr.
        verbose: more notes on stderr.
        third_party: False with `--no-plugins`.
    """

    debug: bool = False
    quiet: bool = False
    verbose: bool = False
    third_party: bool = True
    _plugins: Plugins | None = None

    @property
    def plugins(self) -> Plugins:
        """All plugins, loaded at first use; each that failed costs a line on stderr."""
        if self._plugins is None:
            from vlcli.plugins import load_plugins

            self._plugins = load_plugins(third_party=self.third_party)
            for warning in self._plugins.warnings:
                print(f"vlcli: {warning}", file=sys.stderr)
            for record in self._plugins.problems():
                print(f"vlcli: plugin '{record.name}' ({record.distribution} {record.version}) is {record.state}: "
                      f"{record.error}", file=sys.stderr)  # fmt: skip
                if self.debug and record.trace:
                    print(record.trace, file=sys.stderr)
        return self._plugins

    @property
    def registry(self) -> Registry:
        """The registry of all plugins."""
        return self.plugins.registry

    def note(self, text: str) -> None:
        """A line for the user on stderr, unless `--quiet`."""
        if not self.quiet:
            print(text, file=sys.stderr)


def state_of(ctx: typer.Context) -> State:
    """The state that the root command put into the context."""
    state = ctx.find_object(State)
    if state is None:
        state = ctx.ensure_object(State)
    return state
