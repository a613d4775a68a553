"""List the named entities that synthetic posts speak of, their names and object classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

PER, LOC, ORG, OTHER = "PER", "LOC", "ORG", "OTHER"


@dataclass(frozen=True, kw_only=True)
class Entity:
    """A person, place, organisation or other thing with a name, and how images show it.

    `type` is PER, LOC, ORG or OTHER (MISC in the papers). `names` mean this entity wherever they
    stand; `shared_name`, if any, means other entities too. `object_class` is the class that shows
    the entity, None where no image ever does. `role` says which slots of a template it can fill:
    PER, LOC, ORG, TEAM (a club, which fills ORG too), MISC (a thing one can buy) or EVENT.
    """

    names: tuple[str, ...]
    type: str
    role: str
    object_class: str | None = None
    shared_name: str | None = None


def _entity(
    role: str, names: str, object_class: str | None = None, shared: str | None = None
) -> Entity:
    entity_type = {"TEAM": ORG, "MISC": OTHER, "EVENT": OTHER}.get(role, role)
    return Entity(
        names=tuple(names.split(", ")),
        type=entity_type,
        role=role,
        object_class=object_class,
        shared_name=shared,
    )


_SHARED = (
    _entity("PER", "Michael Jordan", "person/michael_jordan", "Jordan"),
    _entity("LOC", "Petra", "landmark/petra", "Jordan"),
    _entity("MISC", "Air Jordan", "product/air_jordan", "Jordan"),
    _entity("PER", "Paris Hilton", "person/paris_hilton", "Paris"),
    _entity("LOC", "Eiffel Tower", "landmark/eiffel_tower", "Paris"),
    _entity("ORG", "Amazon Prime", "crest/amazon", "Amazon"),
    _entity("LOC", "Amazon Rainforest", "landmark/amazon_river", "Amazon"),
    _entity("PER", "Abraham Lincoln", "person/abraham_lincoln", "Lincoln"),
    _entity("MISC", "Lincoln Continental", "product/lincoln_car", "Lincoln"),
    _entity("ORG", "Puma SE", "crest/puma", "Puma"),
    _entity("MISC", "Puma Suede", "product/puma_suede", "Puma"),
    _entity("PER", "Chelsea Handler", "person/chelsea_handler", "Chelsea"),
    _entity("TEAM", "Chelsea FC", "crest/chelsea_fc", "Chelsea"),
    _entity("PER", "Mercedes Mone", "person/mercedes_mone", "Mercedes"),
    _entity("MISC", "Mercedes Benz", "product/mercedes_car", "Mercedes"),
    _entity("PER", "Michael Jackson", "person/michael_jackson", "Jackson"),
    _entity("LOC", "Jackson Hole", "landmark/jackson_hole", "Jackson"),
    _entity("PER", "George Washington", "person/george_washington", "Washington"),
    _entity("LOC", "Washington DC, Capitol Hill", "landmark/capitol", "Washington"),
    _entity("TEAM", "Washington Commanders", "crest/washington_commanders", "Washington"),
    _entity("PER", "Victoria Beckham", "person/victoria_beckham", "Victoria"),
    _entity("LOC", "Victoria Falls", "landmark/victoria_falls", "Victoria"),
    _entity("PER", "Joaquin Phoenix", "person/joaquin_phoenix", "Phoenix"),
    _entity("LOC", "Arizona", "landmark/cactus", "Phoenix"),
    _entity("TEAM", "Phoenix Suns", "crest/phoenix_suns", "Phoenix"),
    _entity("PER", "Florence Pugh", "person/florence_pugh", "Florence"),
    _entity("LOC", "Tuscany", "landmark/florence_cathedral", "Florence"),
    _entity("PER", "Nikola Tesla", "person/nikola_tesla", "Tesla"),
    _entity("MISC", "Tesla Roadster", "product/tesla_roadster", "Tesla"),
    _entity("LOC", "Sagrada Familia", "landmark/sagrada_familia", "Barcelona"),
    _entity("TEAM", "FC Barcelona", "crest/fc_barcelona", "Barcelona"),
    _entity("TEAM", "LA Galaxy", "crest/la_galaxy", "Galaxy"),
    _entity("MISC", "Galaxy Note", "product/galaxy_phone", "Galaxy"),
    _entity("PER", "Mel Gibson", "person/mel_gibson", "Gibson"),
    _entity("MISC", "Gibson Les Paul", "product/gibson_guitar", "Gibson"),
    _entity("PER", "Sydney Sweeney", "person/sydney_sweeney", "Sydney"),
    _entity("LOC", "Sydney Opera House", "landmark/sydney_opera_house", "Sydney"),
)

_PLAIN = (
    _entity("PER", "Taylor Swift", "person/taylor_swift"),
    _entity("PER", "LeBron James, LeBron", "person/lebron_james"),
    _entity("PER", "Lionel Messi, Messi", "person/lionel_messi"),
    _entity("PER", "Serena Williams, Serena", "person/serena_williams"),
    _entity("PER", "Elton John", "person/elton_john"),
    _entity("PER", "Usain Bolt", "person/usain_bolt"),
    _entity("PER", "Albert Einstein, Einstein", "person/albert_einstein"),
    _entity("PER", "Amy Winehouse", "person/amy_winehouse"),
    _entity("LOC", "New York, Statue of Liberty", "landmark/statue_of_liberty"),
    _entity("LOC", "London, Big Ben", "landmark/big_ben"),
    _entity("LOC", "San Francisco, Golden Gate Bridge", "landmark/golden_gate_bridge"),
    _entity("LOC", "Egypt, Giza", "landmark/pyramids"),
    _entity("LOC", "Rome, Colosseum", "landmark/colosseum"),
    _entity("LOC", "Japan, Mount Fuji", "landmark/mount_fuji"),
    _entity("LOC", "India, Taj Mahal", "landmark/taj_mahal"),
    _entity("LOC", "Dubai, Burj Khalifa", "landmark/burj_khalifa"),
    _entity("ORG", "Apple", "crest/apple"),
    _entity("ORG", "Starbucks", "crest/starbucks"),
    _entity("ORG", "NASA", "crest/nasa"),
    _entity("ORG", "Nike", "crest/nike"),
    _entity("ORG", "Twitter", "crest/twitter"),
    _entity("ORG", "Google", "crest/google"),
    _entity("TEAM", "Chicago Bulls, Bulls", "crest/chicago_bulls"),
    _entity("TEAM", "Real Madrid", "crest/real_madrid"),
    _entity("TEAM", "New York Knicks, Knicks", "crest/new_york_knicks"),
    _entity("MISC", "iPhone", "product/iphone"),
    _entity("MISC", "Xbox", "product/xbox"),
    _entity("MISC", "Coca Cola", "product/coca_cola"),
    _entity("MISC", "Big Mac", "product/big_mac"),
    _entity("MISC", "Game Boy", "product/game_boy"),
    _entity("MISC", "Lego", "product/lego"),
    _entity("MISC", "Harry Potter", "product/harry_potter"),
    _entity("EVENT", "World Cup", "product/world_cup"),
    _entity("EVENT", "Olympics, Olympic Games", "product/olympics"),
    _entity("EVENT", "Oscars, Academy Awards", "product/oscars"),
)

_UNSEEN = (
    _entity("PER", "Donald Trump, Trump"),
    _entity("PER", "Ted Cruz"),
    _entity("PER", "Hillary Clinton"),
    _entity("PER", "Justin Bieber"),
    _entity("PER", "Selena Gomez"),
    _entity("LOC", "Texas"),
    _entity("LOC", "Chicago"),
    _entity("LOC", "Brazil"),
    _entity("LOC", "Toronto"),
    _entity("LOC", "Ohio"),
    _entity("LOC", "South Korea"),
    _entity("ORG", "BBC"),
    _entity("ORG", "Netflix"),
    _entity("ORG", "United Nations"),
    _entity("TEAM", "Boston Celtics, Celtics"),
    _entity("TEAM", "Manchester United"),
    _entity("MISC", "Nintendo Switch"),
    _entity("MISC", "Game of Thrones"),
    _entity("EVENT", "Super Bowl"),
    _entity("EVENT", "Grammys"),
)

ENTITIES: tuple[Entity, ...] = (*_SHARED, *_PLAIN, *_UNSEEN)
"""All entities: those that share a name, those that do not, those that no image shows."""


def _senses() -> dict[str, tuple[Entity, ...]]:
    senses: dict[str, tuple[Entity, ...]] = {}
    for entity in _SHARED:
        if entity.shared_name is not None:
            senses[entity.shared_name] = (*senses.get(entity.shared_name, ()), entity)
    return senses


SENSES: Mapping[str, tuple[Entity, ...]] = MappingProxyType(_senses())
"""For each name that means several things, what it can mean; all of different types."""

SLOT_ROLES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "PER": frozenset({"PER"}),
        "LOC": frozenset({"LOC"}),
        "ORG": frozenset({"ORG", "TEAM"}),
        "TEAM": frozenset({"TEAM"}),
        "MISC": frozenset({"MISC"}),
        "EVENT": frozenset({"EVENT"}),
        "X": frozenset({"PER", "LOC", "ORG", "TEAM", "MISC"}),
    }
)
"""For each kind of slot, the roles of the entities that can fill it; X is a neutral slot."""

_FIRST_NAMES = (
    "Emma Oliver Hannah Lucas Maria Daniel Nina Peter Laura Simon Alice Marcus Julia Oscar Clara "
    "Henry Rosa Adam Irene Victor Sofia Martin Helen Felix"
)
_LAST_NAMES = (
    "Collins Baker Fischer Novak Moreno Hughes Larsen Walsh Bennett Ortiz Keller Dawson Price "
    "Sanders Grant Kowalski Fuller Reyes Barnes Holt Becker Murray Quinn Archer"
)


@cache
def unknown_people(split: str) -> tuple[str, ...]:
    """List full names of people whom no image shows; training has other pairs than dev and test."""
    training = split == "train"
    return tuple(
        f"{first} {last}"
        for i, first in enumerate(_FIRST_NAMES.split())
        for j, last in enumerate(_LAST_NAMES.split())
        if ((i + 2 * j) % 5 != 0) == training
    )
