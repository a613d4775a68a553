"""Texts to token tensors: batch tokenising, word boundaries, character offsets, bucket lengths.

Axis letters: B posts, L subword tokens. Offsets count Unicode code points of the text as it was
sent, end exclusive. Words are the tokenizer's own pre-tokens, so that training and serving agree
whatever the tokenizer.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from mqspn_backend.errors import PostError
from mqspn_backend.tensors import tensor

__all__ = ["MAX_CHARACTERS", "TextBatch", "TextTokenizer", "decode_utf8", "pad_together"]

#: Characters of one text that are tokenised at the most, however few tokens they make.
MAX_CHARACTERS = 65_536
#: Characters tried first, for each token of the longest bucket; English needs four or five.
_CHARACTERS_A_TOKEN = 12
#: Words before a cut that the cut may have changed (pre-tokenizers look a few characters ahead).
_UNSURE_WORDS = 4
_PAD_TOKENS = ("[PAD]", "<pad>")

IntArray = npt.NDArray[np.int32]


@dataclass(frozen=True, kw_only=True)
class TextBatch:
    """A batch of tokenised texts.

    ``input_ids``, ``attention_mask``, ``word_starts``, ``word_ends``: (B, L) int32. ``word_starts``
    is 1 on a word's first subword, ``word_ends`` on its last; both are 0 on special tokens, padding
    and words of white space. ``offsets``: (B, L, 2) int32, start and end (exclusive) of each token
    in code points, 0 on special tokens and padding. ``truncated``: (B,) bool.
    """

    input_ids: IntArray
    attention_mask: IntArray
    word_starts: IntArray
    word_ends: IntArray
    offsets: IntArray
    truncated: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Tokens:
    """One text's tokens: special tokens before and after, and n subwords between them."""

    before: list[int]
    ids: list[int]
    after: list[int]
    words: npt.NDArray[np.int64]  # (n,) index of each subword's word
    offsets: IntArray  # (n, 2)
    truncated: bool


class TextTokenizer:
    """A `tokenizers.Tokenizer` with fixed bucket lengths.

    Special tokens come from the tokenizer's own post-processor; special tokens spelt out in a text
    ("[SEP]") are read as plain text. The padding id is that of the tokenizer's padding settings, or
    of its "[PAD]" or "<pad>" token. A text past the longest bucket loses its end: the word that
    would be cut in two is left out whole (no entity can end inside it), the closing special tokens
    stay, and ``truncated`` says so. The given tokenizer is not changed.

    Raises ValueError for buckets that do not increase or hold no token of text, and for a tokenizer
    without padding or special tokens.
    """

    def __init__(self, tokenizer: Tokenizer, buckets: tuple[int, ...]) -> None:
        if not buckets or list(buckets) != sorted(set(buckets)):
            raise ValueError(f"bucket lengths must increase, got {list(buckets)}")
        specials = tokenizer.num_special_tokens_to_add(False)
        if specials == 0:
            raise ValueError(
                "the tokenizer adds no special tokens; give its tokenizer.json a post_processor "
                "(TemplateProcessing) that does"
            )
        if buckets[-1] <= specials:
            raise ValueError(
                f"the longest bucket ({buckets[-1]}) must exceed the tokenizer's {specials} "
                "special tokens"
            )
        self.buckets = tuple(int(b) for b in buckets)
        self.pad_id = _pad_id(tokenizer)
        self._tokenizer = Tokenizer.from_str(tokenizer.to_str())
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._tokenizer.encode_special_tokens = True
        self._capacity = self.buckets[-1] - specials

    @classmethod
    def from_file(cls, path: str | Path, buckets: tuple[int, ...]) -> TextTokenizer:
        """Read a tokenizer.json; raises FileNotFoundError or ValueError naming the file."""
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"no tokenizer file {path}; export the checkpoint again")
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises bare Exception
            raise ValueError(f"{path} is not a tokenizer.json: {error}") from error
        return cls(tokenizer, buckets)

    def encode(self, texts: Sequence[str]) -> TextBatch:
        """Tokenise ``texts``; L is the smallest bucket that holds the longest of them."""
        encoded = self._tokenise(texts)
        longest = max((len(t.before) + len(t.ids) + len(t.after) for t in encoded), default=0)
        L = next(bucket for bucket in self.buckets if bucket >= longest)
        B = len(texts)
        input_ids = np.full((B, L), self.pad_id, np.int32)
        attention_mask = np.zeros((B, L), np.int32)
        word_starts = np.zeros((B, L), np.int32)
        word_ends = np.zeros((B, L), np.int32)
        offsets = np.zeros((B, L, 2), np.int32)
        for b, (text, tokens) in enumerate(zip(texts, encoded, strict=True)):
            row = tokens.before + tokens.ids + tokens.after
            input_ids[b, : len(row)] = row
            attention_mask[b, : len(row)] = 1
            if not tokens.ids:
                continue
            subwords = slice(len(tokens.before), len(tokens.before) + len(tokens.ids))
            first, last, token_offsets = _word_bounds(text, tokens.words, tokens.offsets)
            word_starts[b, subwords][first] = 1
            word_ends[b, subwords][last] = 1
            offsets[b, subwords] = token_offsets
        return TextBatch(
            input_ids=input_ids,
            attention_mask=attention_mask,
            word_starts=word_starts,
            word_ends=word_ends,
            offsets=offsets,
            truncated=np.array([t.truncated for t in encoded], np.bool_),
        )

    def _tokenise(self, texts: Sequence[str]) -> list[_Tokens]:
        """Tokenise only as much of each text as can fill the longest bucket.

        A prefix is tokenised, and a longer one only where the first made too few tokens; the work
        is bounded by `MAX_CHARACTERS` a text.
        """
        results: dict[int, _Tokens] = {}
        pending = list(range(len(texts)))
        limit = min(_CHARACTERS_A_TOKEN * self._capacity, MAX_CHARACTERS)
        while pending:
            encodings = self._tokenizer.encode_batch([texts[i][:limit] for i in pending])
            again = []
            for i, encoding in zip(pending, encodings, strict=True):
                cut = len(texts[i]) > limit
                tokens = self._fit(encoding, cut, final=limit >= MAX_CHARACTERS)
                if tokens is None:
                    again.append(i)
                else:
                    results[i] = tokens
            pending = again
            limit = min(8 * limit, MAX_CHARACTERS)
        return [results[i] for i in range(len(texts))]

    def _fit(self, encoding: Any, cut: bool, final: bool) -> _Tokens | None:
        """Keep whole words up to the capacity; None where a longer prefix must be read first."""
        word_ids = encoding.word_ids
        words = np.array([-1 if w is None else w for w in word_ids], np.int64)
        inside = np.flatnonzero(words >= 0)
        first, stop = (int(inside[0]), int(inside[-1]) + 1) if inside.size else (len(words),) * 2
        ids = encoding.ids
        words = words[first:stop]
        known = len(words)
        if cut and known:
            unsure = _UNSURE_WORDS
            if final:  # only a word that reaches the cut is in doubt
                unsure = int(encoding.offsets[stop - 1][1] == MAX_CHARACTERS)
            known = int(np.searchsorted(words, words[-1] - unsure, side="right"))
        if cut and not final and known < self._capacity:
            return None
        keep = known
        if keep > self._capacity:
            keep = self._capacity
            if words[keep] == words[keep - 1]:
                keep = int(np.searchsorted(words, words[keep]))
        return _Tokens(
            before=ids[:first],
            ids=ids[first : first + keep],
            after=ids[stop:],
            words=words[:keep],
            offsets=np.array(encoding.offsets, np.int32).reshape(-1, 2)[first : first + keep],
            truncated=cut or keep < len(words),
        )


def _word_bounds(
    text: str, words: npt.NDArray[np.int64], offsets: IntArray
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], IntArray]:
    """First and last subword of each word that holds more than white space, and mended offsets.

    ``words``: (n,), ``offsets``: (n, 2). White space that a byte-level token carries is taken out
    of the offsets; combining marks that an accent-stripping normaliser dropped at a word's end are
    given back to it, so that the characters of an entity are whole.
    """
    new = np.flatnonzero(np.diff(words)) + 1
    first = np.concatenate([[0], new]).astype(np.intp)
    last = np.concatenate([new - 1, [len(words) - 1]]).astype(np.intp)
    starts = offsets[first, 0].tolist()
    ends = offsets[last, 1].tolist()
    offsets = offsets.copy()
    real = np.ones(len(first), np.bool_)
    marks = not text.isascii()
    for w, (start, end) in enumerate(zip(starts, ends, strict=True)):
        low, high = start, end
        while low < high and text[low].isspace():
            low += 1
        while high > low and text[high - 1].isspace():
            high -= 1
        if marks and low < high:
            limit = starts[w + 1] if w + 1 < len(starts) else len(text)
            while high < limit and unicodedata.category(text[high])[0] == "M":
                high += 1
        real[w] = low < high
        if low != start or high < end:
            subwords = slice(int(first[w]), int(last[w]) + 1)
            np.clip(offsets[subwords], low, high, out=offsets[subwords])
        if high > end:
            offsets[last[w], 1] = high
    return first[real], last[real], offsets


def _pad_id(tokenizer: Tokenizer) -> int:
    if tokenizer.padding:
        return int(tokenizer.padding["pad_id"])
    for token in _PAD_TOKENS:
        pad_id = tokenizer.token_to_id(token)
        if pad_id is not None:
            return int(pad_id)
    raise ValueError(
        "the tokenizer has no padding: enable padding in its tokenizer.json or add a "
        f"{' or '.join(_PAD_TOKENS)} token"
    )


def pad_together(requests: Sequence[dict[str, npt.NDArray[Any]]], pad_id: int) -> None:
    """Pad the token tensors of ``requests`` to the longest L among them, in place.

    Each request: its tensors by name, at least INPUT_IDS (B, L); those with the axis L are padded,
    INPUT_IDS with ``pad_id``, the others with 0. It is what `TextTokenizer.encode` makes of all the
    texts together.
    """
    longest = max((tensors["INPUT_IDS"].shape[1] for tensors in requests), default=0)
    for tensors in requests:
        short = longest - tensors["INPUT_IDS"].shape[1]
        for name in tensors if short else ():
            if "L" in (axes := tensor(name).axes):
                widths = [(0, short if axis == "L" else 0) for axis in axes]
                fill = pad_id if name == "INPUT_IDS" else 0
                tensors[name] = np.pad(tensors[name], widths, constant_values=fill)


def decode_utf8(data: bytes) -> str:
    """Decode TEXT as it was sent; raises PostError TEXT_NOT_UTF8 naming the first bad byte."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PostError(
            "TEXT_NOT_UTF8",
            f"the text is not UTF-8: byte 0x{data[error.start]:02x} at position {error.start} "
            f"({error.reason}); encode it as UTF-8",
        ) from error
