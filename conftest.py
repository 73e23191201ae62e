"""Settings of all tests: hypothesis never judges by the clock, since the machines that run it are shared."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("vlcli", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("vlcli")
