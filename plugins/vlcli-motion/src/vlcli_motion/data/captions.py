"""Scripts in words: one plain sentence that says everything, and paraphrases of it.

The order of the words carries the order of the movements, and sometimes against it: "before turning left, a person
walks forward" and "a person turns left after walking forward" say the same.
"""

from __future__ import annotations

import random
from collections.abc import Mapping

from vlcli_motion.data.scripts import LOCOMOTION, Move, Script

# Each phrase is "what a person does|doing it", the first of a list the plain one; speed and count are put at its end.
PHRASES: Mapping[str, tuple[str, ...]] = {
    "walk forward": ("walks|walking forward", "walks|walking straight ahead", "goes|going forward on foot"),
    "walk backward": ("walks|walking backward", "steps|stepping backwards", "walks|walking in reverse"),
    "walk left": ("walks|walking sideways to the left", "side-steps|side-stepping to the left"),
    "walk right": ("walks|walking sideways to the right", "side-steps|side-stepping to the right"),
    "curve left": ("walks|walking in a curve to the left", "walks|walking in an arc that bends left"),
    "curve right": ("walks|walking in a curve to the right", "walks|walking in an arc that bends right"),
    "run forward": ("runs|running forward", "jogs|jogging ahead", "runs|running straight ahead"),
    "march forward": ("marches|marching forward with high knees", "marches|marching ahead lifting the knees"),
    "sneak forward": ("sneaks|sneaking forward", "creeps|creeping forward with bent knees", "tiptoes|tiptoeing ahead"),
    "limp forward": ("limps|limping forward", "hobbles|hobbling ahead", "walks|walking with a limp"),
    "turn left": ("turns|turning left", "turns|turning to the left", "makes|making a left turn"),
    "turn right": ("turns|turning right", "turns|turning to the right", "makes|making a right turn"),
    "turn around": ("turns|turning around", "makes|making a half turn", "turns|turning to face the other way"),
    "wave left": ("waves|waving with the left hand", "waves|waving the left arm"),
    "wave right": ("waves|waving with the right hand", "waves|waving the right arm"),
    "wave both": ("waves|waving with both hands", "waves|waving both arms"),
    "raise left": ("raises|raising the left arm", "lifts|lifting the left hand overhead"),
    "raise right": ("raises|raising the right arm", "lifts|lifting the right hand overhead"),
    "raise both": ("raises|raising both arms", "lifts|lifting both hands overhead"),
    "clap": ("claps|clapping", "claps|clapping the hands", "applauds|applauding"),
    "jump up": ("jumps|jumping up", "jumps|jumping on the spot", "hops|hopping up in the air"),
    "jump forward": ("jumps|jumping forward", "leaps|leaping ahead", "hops|hopping forward"),
    "kick left": ("kicks|kicking with the left foot", "kicks|kicking with the left leg"),
    "kick right": ("kicks|kicking with the right foot", "kicks|kicking with the right leg"),
    "punch left": ("punches|punching with the left hand", "throws|throwing a left punch"),
    "punch right": ("punches|punching with the right hand", "throws|throwing a right punch"),
    "throw left": ("throws|throwing something with the left hand", "hurls|hurling an object with the left arm"),
    "throw right": ("throws|throwing something with the right hand", "hurls|hurling an object with the right arm"),
    "bow": ("bows|bowing", "bends|bending forward in a bow", "takes|taking a bow"),
    "pick left": ("picks|picking something up with the left hand", "bends|bending down to grab a thing on the left"),
    "pick right": ("picks|picking something up with the right hand", "bends|bending down to grab a thing on the right"),
    "crouch": ("crouches|crouching down", "squats|squatting down", "does|doing a squat"),
    "sit": ("sits|sitting down", "takes|taking a seat", "sits|sitting down on a chair"),
    "rise": ("stands|standing up", "gets|getting up from a chair", "rises|rising from a seat"),
    "stand": ("stands|standing still", "waits|waiting", "pauses|pausing for a moment"),
}
STOPS = ("stops|stopping", "stops|stopping and standing still", "comes|coming to a halt")
SPEEDS: Mapping[str, tuple[str, ...]] = {
    "slowly": ("slowly", "at a slow pace", "without any hurry"),
    "quickly": ("quickly", "fast", "at a quick pace"),
}
COUNTS: Mapping[int, tuple[str, ...]] = {2: ("twice", "two times"), 3: ("three times",)}
STYLES: Mapping[str, tuple[str, ...]] = {
    "tired": ("tired", "weary", "exhausted"),
    "proud": ("proud", "self-assured"),
    "happy": ("happy", "cheerful"),
    "sad": ("sad", "dejected"),
    "angry": ("angry", "furious"),
    "old": ("old", "elderly"),
}
MOST_WORDS = 30
"""No paraphrase is longer."""
SUBJECTS = ("a person", "someone", "a human figure")


def plain_caption(script: Script) -> str:
    """The sentence that says everything in the plainest words: "a tired person walks forward slowly, then waves …"."""
    style = f"{script.style} " if script.style else ""
    article = "an" if style[:1] in "aeio" and style else "a"
    moves = [phrase(move, 0, None) for move in script.moves]
    return f"{article} {style}person {', then '.join(moves)}"


def paraphrase(script: Script, rng: random.Random) -> str:
    """Another sentence that says the same."""
    subject = rng.choice(SUBJECTS)
    manner = ""
    if script.style:
        word = rng.choice(STYLES[script.style])
        article = "an" if word[0] in "aeio" else "a"
        if rng.random() < 0.5:
            subject = f"{article} {word} person"
        else:
            manner = f" in {article} {word} way" if script.style != "old" else f" like {article} {word} person"
    before: list[Move | None] = [None, *script.moves[:-1]]
    if len(script.moves) == 2 and rng.random() < 0.35:
        first, second = script.moves
        finite, gerund = phrase(first, 0, rng), phrase(first, 1, rng)
        then, doing = phrase(second, 0, rng, first), phrase(second, 1, rng, first)
        sentence = rng.choice((
            f"after {gerund}, {subject} {then}",
            f"{subject} {then} after {gerund}",
            f"before {doing}, {subject} {finite}",
            f"{subject} {finite} before {doing}",
            f"{subject} first {finite} and afterwards {then}",
        ))  # fmt: skip
        return sentence + manner
    moves = [phrase(move, 0, rng, earlier) for move, earlier in zip(script.moves, before, strict=True)]
    joint = rng.choice((", then ", " and then ", ", and after that "))
    text = moves[0]
    for number, move in enumerate(moves[1:], start=2):
        text += (" and finally " if number == 3 and rng.random() < 0.5 else joint) + move
    return f"{subject} {text}{manner}"


def phrase(move: Move, form: int, rng: random.Random | None, before: Move | None = None) -> str:
    """A movement in words.

    Args:
        move: which.
        form: 0 for "walks forward", 1 for "walking forward".
        rng: chooses among the phrases; the plain one without.
        before: the movement before it: standing still after walking is stopping.
    """
    phrases = PHRASES[move.key]
    if move.action == "stand" and before is not None and before.action in LOCOMOTION:
        phrases = (*phrases, *STOPS)
    chosen = phrases[0] if rng is None else rng.choice(phrases)
    verbs, _, rest = chosen.partition("|")
    gerund, _, tail = rest.partition(" ")
    words = [gerund if form else verbs, tail]
    for table, key in ((SPEEDS, move.speed), (COUNTS, move.count)):
        if key in table:
            words.append(table[key][0] if rng is None else rng.choice(table[key]))  # type: ignore[index]
    return " ".join(filter(None, words))


def captions_of(script: Script, count: int, rng: random.Random) -> tuple[str, ...]:
    """The plain sentence and up to `count - 1` different paraphrases."""
    found = {plain_caption(script): None}
    for _ in range(4 * count):
        if len(found) >= count:
            break
        sentence = paraphrase(script, rng)
        if len(sentence.split()) <= MOST_WORDS:
            found[sentence] = None
    return tuple(found)
