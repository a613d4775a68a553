"""Sentences of a split in BIO labels: an `IMGID:` line, `word<TAB>label` lines, a blank line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from mqspn.data.errors import DataError, Problem

__all__ = ["LabelledSentence", "LabelledSpan", "read_bio"]

_HEADER = "IMGID:"


@dataclass(frozen=True)
class LabelledSpan:
    """An entity: words ``start`` to ``end`` (exclusive) and its type's name."""

    start: int
    end: int
    type: str


@dataclass(frozen=True)
class LabelledSentence:
    """One post of the file: its image id, the line of that, words and entities in text order."""

    id: str
    line: int
    words: tuple[str, ...]
    spans: tuple[LabelledSpan, ...]


def read_bio(
    path: Path, labels: Mapping[str, str], problems: list[Problem]
) -> list[LabelledSentence]:
    """Read one file; faults are appended to ``problems``, and what is faulty is read as outside.

    ``labels`` maps a label's type, as OTHER in `B-OTHER`, to the type's name, as MISC. Every `B-`
    begins an entity, right behind another one too; an `I-` must continue one of its own type.
    A blank line or the next `IMGID:` line ends a post. Raises `DataError` where the file is not
    UTF-8.
    """
    data = path.read_bytes()
    try:
        content = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        at = data.count(b"\n", 0, error.start) + 1
        message = f"not UTF-8 (byte {data[error.start]:#04x}); save the file as UTF-8"
        raise DataError([Problem(path, at, message)]) from error
    reader = _Reader(path, labels, problems)
    # Not splitlines(): words may hold characters that it takes for line ends.
    for number, line in enumerate(content.split("\n"), start=1):
        reader.line(number, line.removesuffix("\r"))
    reader.finish()
    return reader.sentences


class _Reader:
    def __init__(self, path: Path, labels: Mapping[str, str], problems: list[Problem]) -> None:
        self._path = path
        self._labels = labels
        self._problems = problems
        self._id: str | None = None
        self._first = 0
        self._words: list[str] = []
        self._spans: list[LabelledSpan] = []
        self._type: str | None = None  # the open entity's label
        self._lines: dict[str, int] = {}
        self.sentences: list[LabelledSentence] = []

    def line(self, number: int, line: str) -> None:
        if line.startswith(_HEADER):
            self.finish()
            self._begin(number, line.removeprefix(_HEADER).strip())
        elif not line.strip():
            self.finish()
        elif self._id is None:
            self._problem(number, "word outside a post; a post begins with an IMGID: line")
        else:
            self._word(number, line)

    def _begin(self, number: int, id: str) -> None:
        if not id or id in (".", "..") or "/" in id or "\\" in id or "\0" in id:
            self._problem(number, f"image id {id!r} must be the plain name of a file, without .jpg")
        elif id in self._lines:
            message = f"image id {id!r} is already that of the post at line {self._lines[id]}"
            self._problem(number, message)
        self._lines.setdefault(id, number)
        self._id, self._first = id, number
        self._words, self._spans, self._type = [], [], None

    def _word(self, number: int, line: str) -> None:
        parts = line.split("\t")
        if len(parts) != 2:
            message = f"{line!r} must be a word, one tab and a label ({len(parts) - 1} tabs found)"
            if len(parts) > 2:
                message += "; of several label columns keep one, as with cut -f1,3"
            self._problem(number, message)
            self._type = None
            return
        word, label = parts
        if not word or word != word.strip():
            message = f"word {word!r} must not be empty nor begin or end with white space"
            self._problem(number, message)
        at = len(self._words)
        self._words.append(word)
        prefix, _, name = label.partition("-")
        if label == "O":
            self._type = None
        elif prefix not in ("B", "I") or not name:
            self._problem(number, f"label {label!r} must be O, B-<type> or I-<type>")
            self._type = None
        elif name not in self._labels:
            near = get_close_matches(name, list(self._labels), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            known = ", ".join(self._labels)
            message = f"label {label!r} has no type among those of the settings ({known}){hint}"
            self._problem(number, message)
            self._type = None
        elif prefix == "B":
            self._spans.append(LabelledSpan(at, at + 1, self._labels[name]))
            self._type = name
        elif name != self._type:
            before = "no entity" if self._type is None else f"an entity of label {self._type}"
            message = f"label {label!r} continues {before}; an entity begins with B-{name}"
            self._problem(number, message)
            self._type = None
        else:
            span = self._spans[-1]
            self._spans[-1] = LabelledSpan(span.start, at + 1, span.type)

    def finish(self) -> None:
        """End the open post, if there is one."""
        if self._id is None:
            return
        if not self._words:
            self._problem(self._first, f"post {self._id!r} has no words")
        words, spans = tuple(self._words), tuple(self._spans)
        self.sentences.append(LabelledSentence(self._id, self._first, words, spans))
        self._id = self._type = None

    def _problem(self, number: int, message: str) -> None:
        self._problems.append(Problem(self._path, number, message))
