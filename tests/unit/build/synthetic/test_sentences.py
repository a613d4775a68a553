"""Templates and sentences: what the text alone must and must not give away."""

from __future__ import annotations

import re
from collections import Counter
from random import Random

import pytest
from mqspn.synthetic.sentences import (
    AMBIGUOUS_CONTEXT,
    AMBIGUOUS_IMAGE,
    KINDS,
    NO_ENTITY,
    UNKNOWN_PERSON,
    write_sentence,
)
from mqspn.synthetic.templates import TEMPLATES
from mqspn.synthetic.world import SENSES, SLOT_ROLES, unknown_people

SPLITS = tuple(TEMPLATES)


def test_no_template_stands_in_two_splits() -> None:
    templates = [template.lower() for split in SPLITS for template in TEMPLATES[split]]
    assert len(set(templates)) == len(templates)


def test_there_are_templates_enough() -> None:
    assert len(TEMPLATES["train"]) >= 150
    assert min(len(TEMPLATES["dev"]), len(TEMPLATES["test"])) >= 40


@pytest.mark.parametrize("split", ["dev", "test"])
def test_held_out_templates_use_words_that_training_knows(split: str) -> None:
    def words(name: str) -> set[str]:
        return {word.lower() for template in TEMPLATES[name] for word in template.split()}

    assert len(words(split) - words("train")) <= 0.1 * len(words(split))


@pytest.mark.parametrize("split", SPLITS)
def test_slots_are_well_formed(split: str) -> None:
    for template in TEMPLATES[split]:
        for word in template.split():
            if "{" in word or "}" in word:
                match = re.fullmatch(r"\{([A-Z]+)[23]?\}", word)
                assert match is not None, template
                assert match.group(1) in SLOT_ROLES, template


@pytest.mark.parametrize("split", SPLITS)
def test_a_template_stays_free_of_names(split: str) -> None:
    names = {name.lower() for name in SENSES}
    for template in TEMPLATES[split]:
        assert not names & set(template.lower().split())


@pytest.mark.parametrize("split", SPLITS)
def test_senses_are_balanced_where_the_text_is_neutral(split: str) -> None:
    rng, seen = Random(5), Counter[tuple[str, str]]()
    for _ in range(2500):
        sentence = write_sentence(rng, split=split, kind=AMBIGUOUS_IMAGE)
        mention = next(mention for mention in sentence.mentions if mention.ambiguous)
        assert mention.entity is not None
        assert mention.entity.shared_name is not None
        seen[mention.entity.shared_name, mention.type] += 1
    for name, senses in SENSES.items():
        shares = [seen[name, sense.type] for sense in senses]
        assert max(shares) / sum(shares) < 1 / len(senses) + 0.16


def test_senses_differ_in_type() -> None:
    assert len(SENSES) >= 6
    for senses in SENSES.values():
        assert len(senses) >= 2
        assert len({sense.type for sense in senses}) == len(senses)
        assert None not in {sense.object_class for sense in senses}


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("kind", KINDS)
def test_mentions_stand_where_they_say(split: str, kind: str) -> None:
    rng = Random(split + kind)
    for _ in range(150):
        sentence = write_sentence(rng, split=split, kind=kind)
        labels = sentence.labels()
        ambiguous = [mention for mention in sentence.mentions if mention.ambiguous]
        assert bool(ambiguous) == (kind in (AMBIGUOUS_IMAGE, AMBIGUOUS_CONTEXT))
        assert bool(sentence.mentions) == (kind != NO_ENTITY)
        assert sum(label != "O" for label in labels) == sum(
            mention.end - mention.start for mention in sentence.mentions
        )
        for mention in sentence.mentions:
            known = () if mention.entity is None else mention.entity.names
            shared = None if mention.entity is None else mention.entity.shared_name
            names = unknown_people(split) if mention.entity is None else (*known, shared or "")
            name = sentence.name_of(mention).replace(" ", "").lower()
            assert name in {text.replace(" ", "").lower() for text in names}
        for before, word, label in zip(("", *sentence.words), sentence.words, labels, strict=False):
            assert label == "O" or (before != "@" and not word.startswith("https:"))


def test_unknown_people_of_training_are_others() -> None:
    train, test = set(unknown_people("train")), set(unknown_people("test"))
    assert train
    assert test
    assert not train & test
    words = {word for name in train for word in name.split()}
    assert words >= {word for name in test for word in name.split()}
    assert not words & {word for name in SENSES for word in name.split()}


def test_a_sentence_about_an_unknown_person_names_one() -> None:
    sentence = write_sentence(Random(0), split="test", kind=UNKNOWN_PERSON)
    assert any(mention.entity is None and mention.type == "PER" for mention in sentence.mentions)
