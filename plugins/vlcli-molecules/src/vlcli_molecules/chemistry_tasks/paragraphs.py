"""Paragraphs of synthesis procedures and the actions in them, from a small grammar."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

SOLVENTS = ("water", "ethanol", "methanol", "toluene", "tetrahydrofuran", "dichloromethane", "ethyl acetate",
            "acetone", "hexane", "chloroform")  # fmt: skip
REAGENTS = ("triethylamine", "acetic acid", "sodium hydroxide", "potassium carbonate", "aniline", "benzaldehyde",
            "acetyl chloride", "pyridine", "thionyl chloride", "sodium borohydride", "bromine", "phenol",
            "benzyl bromide", "hydrazine", "ammonium chloride", "hydrochloric acid")  # fmt: skip
DRYING = ("sodium sulfate", "magnesium sulfate")
UNITS = ("mL", "g", "mg", "mmol")
TIMES = ("hours", "minutes")


@dataclass(frozen=True)
class Written:
    """A piece of a procedure: its English and its actions."""

    sentence: str
    actions: tuple[str, ...]


def amount(rng: random.Random) -> str:
    """Such as `25 mL`."""
    return f"{rng.choice((1, 2, 5, 10, 20, 25, 50, 100))} {rng.choice(UNITS)}"


def duration(rng: random.Random) -> str:
    """Such as `3 hours`."""
    return f"{rng.choice((2, 3, 4, 6, 8, 12, 16, 18, 24, 30))} {rng.choice(TIMES)}"


def temperature(rng: random.Random) -> str:
    """Such as `room temperature`."""
    return rng.choice(("room temperature", "0 °C", "40 °C", "60 °C", "80 °C", "-78 °C"))


def add(rng: random.Random) -> Written:
    """Adding a reagent or a solvent."""
    name, much = rng.choice(REAGENTS + SOLVENTS), amount(rng)
    sentence = rng.choice((f"{name} ({much}) was added.", f"To the mixture was added {much} of {name}.",
                           f"The mixture was treated with {name} ({much})."))  # fmt: skip
    return Written(sentence, (f"ADD {name} ({much})",))


def stir(rng: random.Random) -> Written:
    """Stirring, with or without a temperature."""
    time, heat = duration(rng), temperature(rng)
    if rng.random() < 0.5:
        sentence = rng.choice((f"The mixture was stirred for {time}.", f"Stirring was continued for {time}."))
        return Written(sentence, (f"STIR for {time}",))
    sentence = rng.choice((f"The mixture was stirred at {heat} for {time}.", f"It was kept at {heat} for {time}."))
    return Written(sentence, (f"STIR for {time} at {heat}",))


def cool_or_heat(rng: random.Random) -> Written:
    """Setting a temperature."""
    heat = temperature(rng)
    return Written(
        rng.choice((f"The reaction was brought to {heat}.", f"The temperature was set to {heat}.")),
        (f"SETTEMPERATURE {heat}",),
    )


def reflux(rng: random.Random) -> Written:
    """Heating under reflux."""
    time = duration(rng)
    return Written(
        rng.choice((f"The solution was heated to reflux for {time}.", f"The mixture was refluxed for {time}.")),
        (f"REFLUX for {time}",),
    )


def quench(rng: random.Random) -> Written:
    """Quenching."""
    name, much = rng.choice(("water", "ammonium chloride", "hydrochloric acid", "methanol")), amount(rng)
    return Written(f"The reaction was quenched with {name} ({much}).", (f"QUENCH with {name} ({much})",))


def extract(rng: random.Random) -> Written:
    """Extraction and washing."""
    name = rng.choice(("ethyl acetate", "dichloromethane", "chloroform"))
    return Written(
        rng.choice((f"The mixture was extracted with {name} and washed with brine.",
                    f"After extraction with {name} the organic layer was washed with brine.")),
        (f"EXTRACT with {name}", "COLLECTLAYER organic", "WASH with brine"),
    )  # fmt: skip


def work_up(rng: random.Random) -> Written:
    """Drying, filtering and evaporating."""
    name = rng.choice(DRYING)
    return Written(
        rng.choice((f"The solution was dried over {name}, filtered and concentrated.",
                    f"It was dried ({name}), filtered and the solvent evaporated.")),
        (f"DRYSOLUTION over {name}", "FILTER keep filtrate", "CONCENTRATE"),
    )  # fmt: skip


def yielded(rng: random.Random) -> Written:
    """The product."""
    much = f"{rng.choice((1, 2, 3, 5, 8))} g, {rng.choice((45, 52, 60, 67, 71, 78, 84, 90, 95))}%"
    return Written(
        rng.choice((f"The title compound was obtained ({much}).", f"This gave the title compound ({much}).")),
        (f"YIELD title compound ({much})",),
    )


def spectrum(rng: random.Random) -> Written:
    """A sentence without any action."""
    shift = f"{rng.randint(1, 9)}.{rng.randint(10, 99)}"
    return Written(f"1H NMR (300 MHz, DMSO-d6): {shift} (s, {rng.randint(1, 9)}H).", ("NOACTION",))


STEPS: tuple[Callable[[random.Random], Written], ...] = (add, add, stir, cool_or_heat, reflux, quench, extract)
ENDS: tuple[Callable[[random.Random], Written], ...] = (work_up, yielded)
SPECTRA = 0.04
"""Share of paragraphs that describe no action."""


def paragraph(rng: random.Random, longest: int = 3) -> tuple[str, str]:
    """A paragraph of at most `longest` sentences and its actions, `ADD water (5 mL); STIR for 3 hours.`."""
    if rng.random() < SPECTRA:
        only = spectrum(rng)
        return only.sentence, f"{only.actions[0]}."
    count = rng.randint(1, longest)
    pieces = [rng.choice(STEPS)(rng) for _ in range(count)]
    if rng.random() < 0.3:
        pieces[-1] = rng.choice(ENDS)(rng)
    text = " ".join(piece.sentence[0].upper() + piece.sentence[1:] for piece in pieces)
    return text, f"{'; '.join(action for piece in pieces for action in piece.actions)}."
