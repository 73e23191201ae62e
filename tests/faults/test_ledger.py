"""A short version of the torture's ledger part, and proof that it would notice what is lost."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "torture")]


def test_every_input_meets_the_fate_it_deserves(tmp_path: Path) -> None:
    """Every hostile kind once among plain inputs: three runs, all counts add up, all hashes are right."""
    import ledger
    from mixed_inputs import hostile_kinds
    from parts import Budget

    rows = ledger.run(Budget(tmp_path, seed=5, scale=len(hostile_kinds()) * 10 / 10_000))
    assert [row.detail for row in rows if not row.passed] == []
    assert len(rows) == 3 and rows[0].counts["hostile kinds"] == len(hostile_kinds())
    assert rows[0].counts["refused"] > 10 < rows[1].counts["unchanged"]


def test_a_lost_input_would_be_noticed(tmp_path: Path) -> None:
    """A world that expects one more, one less, or another content is not satisfied."""
    from dataclasses import replace

    import ledger
    from fuzz_targets import registry_of, saved_space
    from mixed_inputs import make_world

    inputs = make_world(tmp_path / "world", 12, 1)
    space = saved_space(tmp_path / "space", registry_of())
    assert ledger.judge("right", inputs, tmp_path, space, fresh=True).lost == 0
    picture = next(one for one in inputs if one.kind == "plain" and not one.path.endswith(b".txt"))
    for wrong in (replace(picture, sha256="0" * 64), replace(picture, fate="refused")):
        changed = [wrong if one is picture else one for one in inputs]
        assert ledger.judge("wrong", changed, tmp_path, space, fresh=False).lost > 0
