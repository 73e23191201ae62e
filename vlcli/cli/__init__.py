"""The command line. `CORE_COMMANDS` says where each verb lives; a module is imported only when its verb is run."""

from vlcli.verbs import CORE_COMMANDS

__all__ = ["CORE_COMMANDS"]
