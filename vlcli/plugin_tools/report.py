"""What `vlcli plugins doctor` found out about a plugin."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

SIGNS = {"ok": "ok  ", "warning": "note", "failed": "FAIL"}


@dataclass
class Check:
    """One thing that was examined.

    Attributes:
        about: what was examined, such as `encoder 'tiny'` or `requirement numpy>=2`.
        status: `ok`, `warning` or `failed`.
        message: one line; why, when it is not ok.
    """

    about: str
    status: str
    message: str = ""


@dataclass
class Report:
    """A plugin's examination.

    Attributes:
        state: as in `vlcli plugins list`; `broken` also for what only the doctor can see.
        import_ms: time that its registration took, in milliseconds.
        modules: how many modules its registration imported.
        seconds: how long the examination took.
    """

    name: str
    distribution: str
    version: str
    state: str = "ok"
    error: str = ""
    import_ms: float = 0.0
    modules: int = 0
    seconds: float = 0.0
    checks: list[Check] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing failed; a plugin that the user disabled is not a failure."""
        return self.state in ("ok", "disabled") and all(check.status != "failed" for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        """The report as `vlcli plugins doctor --json` prints it."""
        return {**asdict(self), "ok": self.ok}

    def lines(self, verbose: bool = False) -> list[str]:
        """The report for a reader: a headline, then what is not well (everything with `verbose`)."""
        head = f"{self.name} ({self.distribution} {self.version}): {'well' if self.ok else 'FAILED'}"
        if self.state == "disabled":
            return [f"{self.name} ({self.distribution} {self.version}): disabled, not examined"]
        if self.state == "ok":
            head += f", {self.import_ms:.1f} ms and {self.modules} modules to register, {len(self.checks)} checks"
        shown = [check for check in self.checks if verbose or check.status != "ok"]
        body = [f"  {SIGNS[c.status]} {c.about}" + (f": {c.message}" if c.message else "") for c in shown]
        return [head, *([f"  FAIL {self.error}"] if self.error else []), *body]
