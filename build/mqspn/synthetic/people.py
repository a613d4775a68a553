"""Draw people: busts told apart by hair, clothes and what they carry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from mqspn.synthetic.pen import Draw, Fill, Pen
from mqspn.synthetic.wardrobe import CLOTHES, EXTRAS, HAIR_BEHIND, HAIR_FRONT


@dataclass(frozen=True, kw_only=True)
class Person:
    """How one person looks; hair, clothes and extras are keys of `mqspn.synthetic.wardrobe`."""

    skin: Fill
    hair: str
    hair_colour: Fill
    clothes: str
    colour: Fill
    second: Fill = "white"
    extras: tuple[str, ...] = ()
    number: str = ""

    def draw(self, pen: Pen) -> None:
        """Draw the bust: hair behind, body, head, face, hair in front, extras."""
        if self.hair in HAIR_BEHIND:
            HAIR_BEHIND[self.hair](pen, self.hair_colour)
        pen.box(43, 50, 57, 68, self.skin)
        pen.clip(lambda paint: self._clothe(paint), _torso)
        pen.oval(32, 17, 68, 60, self.skin)
        pen.disc(31.5, 40, 4, self.skin)
        pen.disc(68.5, 40, 4, self.skin)
        pen.disc(43, 39, 2.6, "#221d2b")
        pen.disc(57, 39, 2.6, "#221d2b")
        pen.arc(42, 40, 58, 53, 25, 155, "#8a2f3a", 2)
        if self.hair in HAIR_FRONT:
            HAIR_FRONT[self.hair](pen, self.hair_colour)
        for extra in self.extras:
            EXTRAS[extra](pen, self.hair_colour)

    def _clothe(self, pen: Pen) -> None:
        pen.box(0, 50, 100, 100, self.colour)
        CLOTHES[self.clothes](pen, self.second)
        if self.number:
            pen.text(50, 85, self.number, 21, self.second)


def _torso(pen: Pen) -> None:
    pen.poly((14, 97, 17, 75, 26, 67, 42, 62, 50, 67, 58, 62, 74, 67, 83, 75, 86, 97), "white")


_PALE, _TAN, _BROWN, _DARK = "#f6cfb0", "#e3ac80", "#a8693f", "#73462c"


def _person(
    skin: Fill,
    hair: str,
    hair_colour: Fill,
    clothes: str,
    colour: Fill,
    second: Fill,
    *extras: str,
    number: str = "",
) -> Draw:
    return Person(
        skin=skin,
        hair=hair,
        hair_colour=hair_colour,
        clothes=clothes,
        colour=colour,
        second=second,
        extras=extras,
        number=number,
    ).draw


PEOPLE: Mapping[str, Draw] = MappingProxyType(
    {
        "person/michael_jordan": _person(
            _DARK, "bald", "black", "vest", "#d7263d", "white", "basketball", number="23"
        ),
        "person/paris_hilton": _person(
            _PALE, "long", "#fbe28a", "sequins", "#ff77b7", "white", "tiara"
        ),
        "person/abraham_lincoln": _person(
            _PALE, "short", "#3a2b22", "bow_tie", "#2d2d38", "#2d2d38", "beard", "top_hat"
        ),
        "person/chelsea_handler": _person(
            _TAN, "bob", "#d9a441", "hoops", "#15a3a3", "white", "cocktail"
        ),
        "person/mercedes_mone": _person(
            _BROWN, "braids", "#5ad1e6", "plain", "#7b2cbf", "#ffd23f", "champion_belt"
        ),
        "person/michael_jackson": _person(
            _TAN, "curls", "#17151c", "jacket", "#17151c", "white", "fedora"
        ),
        "person/george_washington": _person(_PALE, "wig", "#eceff4", "frills", "#1d3f8a", "white"),
        "person/victoria_beckham": _person(
            _TAN, "bun", "#4a2c1a", "plain", "#17151c", "#17151c", "sunglasses"
        ),
        "person/joaquin_phoenix": _person(
            _PALE, "quiff", "#2fa84f", "suit", "#a01f2d", "#f0a202", "clown"
        ),
        "person/florence_pugh": _person(
            _PALE, "parted", "#e8d7a0", "check", "#ffcf4a", "#e8672c", "flower"
        ),
        "person/nikola_tesla": _person(
            _PALE, "parted", "#221a16", "suit", "#5b6475", "#20202a", "moustache", "bolt"
        ),
        "person/mel_gibson": _person(
            _TAN, "long", "#6b4423", "sash", "#6f7f3a", "#b5452c", "face_paint"
        ),
        "person/sydney_sweeney": _person(
            _PALE, "curls", "#f3d58b", "plain", "#7cc6fe", "white", "sunglasses"
        ),
        "person/taylor_swift": _person(
            _PALE, "bob", "#f0cf72", "sequins", "#3d2a9c", "#9be7ff", "guitar"
        ),
        "person/lebron_james": _person(
            _DARK, "short", "#17151c", "vest", "#f4b400", "#552583", "headband", "beard", number="6"
        ),
        "person/lionel_messi": _person(
            _PALE, "short", "#7a4a24", "upright_stripes", "#75c6ee", "white", "beard", "football"
        ),
        "person/serena_williams": _person(
            _BROWN, "afro", "#3b2418", "plain", "white", "#e63995", "racket"
        ),
        "person/elton_john": _person(
            _PALE, "bob", "#9c5a2c", "halves", "#f26b21", "#2ec4b6", "star_glasses", "microphone"
        ),
        "person/usain_bolt": _person(
            _DARK, "short", "#17151c", "halves", "#f7d000", "#118a3e", "medal"
        ),
        "person/albert_einstein": _person(
            _PALE, "wild", "#e6e6e6", "plain", "#8a6d4b", "#5c452c", "moustache", "formula"
        ),
        "person/amy_winehouse": _person(
            _TAN, "ponytail", "#1d1620", "check", "#e8506a", "#ffe3e3", "microphone"
        ),
        "person/hooded_passer_by": _person(
            _TAN, "bald", "#77808f", "plain", "#77808f", "#5b6372", "hood"
        ),
        "person/child_with_cap": _person(
            _BROWN, "short", "#3b2418", "hoops", "#9fd356", "#3aa675", "cap"
        ),
    }
)
"""How each person is drawn; the last two are people nobody names."""
