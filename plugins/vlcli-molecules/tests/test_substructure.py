"""The filter `substructure`, alone, on training examples, and in `vlcli search`."""

from __future__ import annotations

from pathlib import Path

import pytest
from vlcli_molecules.filters.substructure import Substructure

from vlcli.api import Source
from vlcli.data.dataset import Example
from vlcli.errors import VlcliError
from vlcli.plugins import load_plugins

ANILINE, ETHANOL, CUT = "Nc1ccccc1", "CCO", "C1CC"


def sources(*values: str) -> list[Source]:
    return [Source(id=value, value=value) for value in values]


def test_verdicts(tmp_path: Path) -> None:
    amine = Substructure("c[NX3;H2]")
    found = list(amine.select("molecules", sources(ANILINE, ETHANOL, CUT, "Cc1ccc(N)cc1", "[C][N]")))
    assert [one if isinstance(one, bool) else one.code for one in found] == [True, False, "D611", True, False]
    assert list(amine.select("text", sources(ANILINE))) == [False]
    gone = Source(id="gone.mol", path=tmp_path / "gone.mol")
    (verdict,) = amine.select("molecules", [gone])
    assert isinstance(verdict, VlcliError)
    assert verdict.code == "D111"
    many = list(amine.select("molecules", sources(*[ANILINE, ETHANOL] * 300)))
    assert many == [True, False] * 300


def test_chirality() -> None:
    left, right = "C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O"
    plain = Substructure("C[C@H](N)C(=O)O")
    strict = Substructure("C[C@H](N)C(=O)O", chirality=True)
    assert list(plain.select("molecules", sources(left, right))) == [True, True]
    assert sorted(strict.select("molecules", sources(left, right))) == [False, True]  # type: ignore[type-var]


def test_training_examples() -> None:
    examples = [Example(id=value, sources={"molecules": Source(id=value, value=value)}, captions=())
                for value in (ANILINE, ETHANOL, CUT)]  # fmt: skip
    examples.append(Example(id="text", sources={"text": Source(id="t", value="t")}, captions=()))
    assert [one.id for one in Substructure("c1ccccc1")(examples)] == [ANILINE]
    assert [one.id for one in Substructure("c1ccccc1", keep="others")(examples)] == [ETHANOL]


@pytest.mark.parametrize("smarts", ["", "c1cc", "[", "[!", "(" * 150 + "C", "C" * 6_000, "C\0", "foo", "\udcff"])
def test_bad_patterns_are_refused(smarts: str) -> None:
    with pytest.raises(VlcliError) as refused:
        Substructure(smarts)
    assert refused.value.code == "U602"
    assert refused.value.exit_code == 2


def test_the_registered_filter_takes_options() -> None:
    registry = load_plugins().registry
    built = registry.build("filter", "molecules/substructure", {"smarts": "[OX2H]", "keep": "others"})
    assert list(built.select("molecules", sources(ETHANOL, "C"))) == [False, True]
    with pytest.raises(VlcliError, match="P206"):
        registry.build("filter", "molecules/substructure", {"smart": "C"})
