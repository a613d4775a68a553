"""Write sentences: fill the slots of a template, then dress it as a tweet.

Handles (`@ fan_2231`) are made-up and never entities; a hashtag (`# Jordan`, `# TaylorSwift`: two
words, as in Twitter-GMNER) is an entity where it stands for a name of the world.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random

from mqspn.synthetic.templates import TEMPLATES
from mqspn.synthetic.world import ENTITIES, PER, SENSES, SLOT_ROLES, Entity, unknown_people

PLAIN = "plain"
NO_ENTITY = "no_entity"
UNKNOWN_PERSON = "unknown_person"
AMBIGUOUS_IMAGE = "ambiguous_image"
AMBIGUOUS_CONTEXT = "ambiguous_context"

KINDS: tuple[str, ...] = (PLAIN, NO_ENTITY, UNKNOWN_PERSON, AMBIGUOUS_IMAGE, AMBIGUOUS_CONTEXT)
"""What a sentence can be about."""

_SLOT = re.compile(r"\{([A-Z]+)\d?\}")


def _apart(text: str, separator: str = " ") -> tuple[str, ...]:
    return tuple(text.split(separator))


_EMOJI = _apart("😂 🔥 ❤️ 😍 👀 🙌 💯 🎉 😭 👍 😊 🙏 ✨ 💕 😱")
_HANDLE_STEMS = _apart("fan mike sara news daily its_me the_real xo lily tom jay music sport")
_HASHTAGS = _apart(
    "love Monday tbt MondayMotivation photo weekend vibes NoFilter goals win news MyLife ff"
)
_OPENINGS = _apart(
    "LOL|OMG|Photo :|Breaking News :|ICYMI :|So|Yes !|Wow !|PLEASE RT|Check This Out :", "|"
)
_CLOSINGS = _apart("lol|! ! !|haha|. . .|?|!|tbh|- Good Night|# LOL|via @ daily_news", "|")
_URL_LETTERS = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ0123456789"


@dataclass(frozen=True, kw_only=True)
class Mention:
    """A name in a sentence: words start to end (exclusive).

    `entity` is None for a person whom no image shows. `ambiguous` says that the name means
    several things.
    """

    start: int
    end: int
    type: str
    entity: Entity | None
    ambiguous: bool


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """The words of a post, its mentions from left to right, and what is special about it."""

    words: tuple[str, ...]
    mentions: tuple[Mention, ...]
    tags: frozenset[str]

    def name_of(self, mention: Mention) -> str:
        """Return the mention's words as they stand in the sentence, joined by a space."""
        return " ".join(self.words[mention.start : mention.end])

    def labels(self) -> tuple[str, ...]:
        """Return one BIO label a word: "B-PER", "I-PER", "O"."""
        labels = ["O"] * len(self.words)
        for mention in self.mentions:
            labels[mention.start : mention.end] = [
                f"{'I' if position else 'B'}-{mention.type}"
                for position in range(mention.end - mention.start)
            ]
        return tuple(labels)


@dataclass(frozen=True, kw_only=True)
class _Filling:
    name: str
    type: str
    entity: Entity | None
    ambiguous: bool
    hashtag: bool


class _Draft:
    """Words and mentions while a sentence grows."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.mentions: list[Mention] = []
        self.tags: set[str] = set()

    def add(self, text: str) -> None:
        self.words += text.split()

    def add_name(self, filling: _Filling, *, hashtag: bool) -> None:
        words = filling.name.split()
        if hashtag:
            self.words.append("#")
            self.tags |= {"hashtag", "entity_hashtag"}
            words = ["".join(words)]
        start = len(self.words)
        self.words += words
        self.mentions.append(
            Mention(
                start=start,
                end=len(self.words),
                type=filling.type,
                entity=filling.entity,
                ambiguous=filling.ambiguous,
            )
        )


def write_sentence(rng: Random, *, split: str, kind: str) -> Sentence:
    """Write a sentence of `kind`, one of KINDS, from the templates of a split."""
    template = _template(rng, split, kind)
    fillings = _fillings(rng, template, split, kind)
    adjacent = "} {" in template
    draft = _Draft()
    if adjacent:
        draft.tags.add("adjacent")
    if kind != PLAIN:
        draft.tags.add(kind)
    _open(rng, draft)
    for word in template.split():
        if word in fillings:
            filling = fillings[word]
            draft.add_name(filling, hashtag=filling.hashtag and not adjacent)
        else:
            draft.add(word)
    if fillings and rng.random() < 0.06:
        draft.add_name(rng.choice(list(fillings.values())), hashtag=True)
    _close(rng, draft)
    words = _cased(rng, draft)
    sentence = Sentence(
        words=tuple(words), mentions=tuple(draft.mentions), tags=frozenset(draft.tags)
    )
    names = [sentence.name_of(mention) for mention in sentence.mentions]
    more = {"same_name_twice"} if len(set(names)) < len(names) else set()
    more |= {"multi_word"} if any(" " in name for name in names) else set()
    return Sentence(words=sentence.words, mentions=sentence.mentions, tags=sentence.tags | more)


def _template(rng: Random, split: str, kind: str) -> str:
    """Pick a template that suits the kind; rare constructions come more often than they stand."""
    if kind != PLAIN:
        return rng.choice(_templates(split, kind))
    chance = rng.random()
    if chance < 0.14:
        return rng.choice(_templates(split, "adjacent"))
    if chance < 0.20:
        return rng.choice(_templates(split, "repeating"))
    return rng.choice(_templates(split, AMBIGUOUS_IMAGE if chance < 0.45 else "typed"))


@cache
def _templates(split: str, use: str) -> tuple[str, ...]:
    """The templates of a split that fit a use: a kind of sentence, or a construction."""
    suits: Callable[[str], bool] = {
        NO_ENTITY: lambda template: "{" not in template,
        UNKNOWN_PERSON: lambda template: "{PER" in template and "{X}" not in template,
        AMBIGUOUS_IMAGE: lambda template: "{X}" in template,
        AMBIGUOUS_CONTEXT: lambda template: bool(_slots_with_senses(template)),
        "typed": lambda template: "{" in template and "{X}" not in template,
        "adjacent": lambda template: "} {" in template,
        "repeating": _repeats,
    }[use]
    return tuple(template for template in TEMPLATES[split] if suits(template))


def _slots(template: str) -> list[str]:
    return [word for word in template.split() if _SLOT.fullmatch(word)]


def _repeats(template: str) -> bool:
    slots = _slots(template)
    return len(set(slots)) < len(slots)


def _roles(slot: str) -> frozenset[str]:
    match = _SLOT.fullmatch(slot)
    if match is None:
        raise ValueError(f"{slot!r} is no slot: write it like {{PER}} or {{PER2}}")
    return SLOT_ROLES[match.group(1)]


def _slots_with_senses(template: str) -> list[str]:
    """The slots that a name of several meanings may fill: typed, and not beside another slot."""
    if "} {" in template or "{X}" in template:
        return []
    roles = {entity.role for senses in SENSES.values() for entity in senses}
    return [slot for slot in dict.fromkeys(_slots(template)) if _roles(slot) & roles]


def _fillings(rng: Random, template: str, split: str, kind: str) -> dict[str, _Filling]:
    """What stands in each slot: no entity twice, and no second sense of a name that has several."""
    slots = list(dict.fromkeys(_slots(template)))
    fillings: dict[str, _Filling] = {}
    taken: set[Entity] = set()
    if kind == AMBIGUOUS_IMAGE:
        name = rng.choice(list(SENSES))
        fillings["{X}"] = _filling(rng, rng.choice(SENSES[name]), name)
        taken |= set(SENSES[name])
    elif kind == AMBIGUOUS_CONTEXT:
        slot = rng.choice(_slots_with_senses(template))
        names = [name for name in SENSES if any(e.role in _roles(slot) for e in SENSES[name])]
        name = rng.choice(names)
        senses = [entity for entity in SENSES[name] if entity.role in _roles(slot)]
        fillings[slot] = _filling(rng, rng.choice(senses), name)
        taken |= set(SENSES[name])
    elif kind == UNKNOWN_PERSON:
        slot = rng.choice([slot for slot in slots if slot.startswith("{PER")])
        fillings[slot] = _Filling(
            name=rng.choice(unknown_people(split)),
            type=PER,
            entity=None,
            ambiguous=False,
            hashtag=False,
        )
    for slot in slots:
        if slot not in fillings:
            able = [e for e in ENTITIES if e.role in _roles(slot) and e not in taken]
            entity = rng.choices(able, weights=[_plain_weight(e) for e in able])[0]
            taken.add(entity)
            fillings[slot] = _filling(rng, entity, None)
    return fillings


def _plain_weight(entity: Entity) -> int:
    """Entities that share no name are named twice as often here: they appear nowhere else."""
    return 2 if entity.shared_name is None and entity.object_class is not None else 1


def _filling(rng: Random, entity: Entity, shared_name: str | None) -> _Filling:
    return _Filling(
        name=shared_name or rng.choice(entity.names),
        type=entity.type,
        entity=entity,
        ambiguous=shared_name is not None,
        hashtag=rng.random() < 0.1,
    )


def _open(rng: Random, draft: _Draft) -> None:
    chance = rng.random()
    if chance < 0.1:
        draft.add(f"RT @ {_handle(rng)} :")
        draft.tags.add("handle")
    elif chance < 0.16:
        draft.add(f"@ {_handle(rng)}")
        draft.tags.add("handle")
    elif chance < 0.24:
        draft.add(rng.choice(_OPENINGS))
    elif chance < 0.27:
        draft.add(rng.choice(_EMOJI))
        draft.tags.add("emoji")


def _close(rng: Random, draft: _Draft) -> None:
    if rng.random() < 0.12:
        draft.add(rng.choice(_CLOSINGS))
    if rng.random() < 0.2:
        draft.add(" ".join([rng.choice(_EMOJI)] * rng.choice((1, 1, 2, 3))))
        draft.tags.add("emoji")
    if rng.random() < 0.12:
        draft.add(f"# {rng.choice(_HASHTAGS)}")
        draft.tags.add("hashtag")
    if rng.random() < 0.05:
        draft.add(f"@ {_handle(rng)}")
        draft.tags.add("handle")
    if rng.random() < 0.18:
        draft.add("https://t.co/" + "".join(rng.choices(_URL_LETTERS, k=10)))
        draft.tags.add("url")


def _handle(rng: Random) -> str:
    return f"{rng.choice(_HANDLE_STEMS)}_{rng.randint(1, 9999)}"


def _cased(rng: Random, draft: _Draft) -> Sequence[str]:
    """Sometimes the whole post in lower case, upper case or Title Case; never handles and URLs."""
    chance = rng.random()
    if chance >= 0.16:
        return draft.words
    case = "lower_case" if chance < 0.08 else "upper_case" if chance < 0.13 else "title_case"
    draft.tags.add(case)
    words = []
    for position, word in enumerate(draft.words):
        after_at = position > 0 and draft.words[position - 1] == "@"
        if after_at or word.startswith("https:"):
            words.append(word)
        elif case == "title_case":
            words.append(word[:1].upper() + word[1:])
        else:
            words.append(word.lower() if case == "lower_case" else word.upper())
    return words
