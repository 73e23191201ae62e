"""`python -m vlcli` and the `vlcli` script; `--version` alone answers before anything is imported."""

from __future__ import annotations

import sys


def main() -> None:
    """Print the version, or hand over to the command line."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        from vlcli import __version__

        print(f"vlcli {__version__}")
        return
    from vlcli.cli.main import main as run_command_line

    run_command_line()


if __name__ == "__main__":
    main()
