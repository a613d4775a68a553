"""Tokens, word boundaries and character offsets, with WordPiece and byte-level BPE."""

import time
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mqspn_backend import text as text_module
from mqspn_backend.errors import PostError
from mqspn_backend.text import TextBatch, TextTokenizer, decode_utf8, pad_together
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers.trainers import BpeTrainer, WordPieceTrainer

CORPUS = [
    "Michael Jordan wore the new Jordan shoes in Chicago, don't you know?",
    "the quick brown fox jumps over the lazy dog 0123456789 #hashtag @mention https://t.co/abc",
    "New York City and Los Angeles are cities; Nike is a company!",
]
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]


def _with_specials(tokenizer: Tokenizer) -> Tokenizer:
    ids = [(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, ids)
    return tokenizer


def wordpiece() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = WordPieceTrainer(vocab_size=150, special_tokens=SPECIALS, show_progress=False)
    alphabet = "abcdefghijklmnopqrstuvwxyz"
    lines = [line.lower() for line in CORPUS] + [alphabet, alphabet[::-1]]
    tokenizer.train_from_iterator(lines, trainer)
    return _with_specials(tokenizer)


def byte_level(add_prefix_space: bool = False) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=350,
        special_tokens=SPECIALS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return _with_specials(tokenizer)


TOKENIZERS = {
    "wordpiece": wordpiece(),
    "byte_level": byte_level(),
    "byte_level_prefix_space": byte_level(add_prefix_space=True),
}
both = pytest.mark.parametrize("name", list(TOKENIZERS))


def words(batch: TextBatch, b: int, text: str) -> list[str]:
    """The words of post b, cut out of its text by offsets, first subword to last."""
    starts = np.flatnonzero(batch.word_starts[b])
    ends = np.flatnonzero(batch.word_ends[b])
    assert len(starts) == len(ends)
    assert (starts <= ends).all()
    return [
        text[batch.offsets[b, i, 0] : batch.offsets[b, j, 1]]
        for i, j in zip(starts, ends, strict=True)
    ]


@both
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Michael Jordan in  Chicago", ["Michael", "Jordan", "in", "Chicago"]),
        ("  leading and trailing \n", ["leading", "and", "trailing"]),
        ("ÉLAN café naïve", ["ÉLAN", "café", "naïve"]),
        ("CAFE\u0301 cafe\u0301 x", None),
        ("a\tb", ["a", "b"]),
        ("שלום Jordan مرحبا", ["שלום", "Jordan", "مرحبا"]),
        ("İstanbul straße ﬁn", ["İstanbul", "straße", "ﬁn"]),
    ],
)
def test_words_are_exact_pieces_of_the_text(
    name: str, text: str, expected: list[str] | None
) -> None:
    batch = TextTokenizer(TOKENIZERS[name], (64, 128)).encode([text])
    if expected is None:
        if name != "wordpiece":
            return  # GPT-2's pattern makes a combining mark a word of its own
        expected = ["CAFE\u0301", "cafe\u0301", "x"]
    assert words(batch, 0, text) == expected
    assert not batch.truncated[0]


@both
def test_emoji_joiners_and_cjk_keep_whole_characters(name: str) -> None:
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
    text = f"Jordan {family} \u2764\ufe0f 東京 한국 🏀"
    batch = TextTokenizer(TOKENIZERS[name], (128,)).encode([text])
    found = words(batch, 0, text)
    assert found[0] == "Jordan"
    assert found[-1] == "🏀"
    assert "한국" in found
    assert "".join(found).replace(" ", "") == text.replace(" ", "")
    if name == "wordpiece":
        assert {family, "\u2764\ufe0f", "東", "京"} <= set(found)


def test_dropped_combining_marks_stay_with_their_word_only() -> None:
    text = "re\u0301 \u0301mi"  # the second mark has a space before it
    batch = TextTokenizer(TOKENIZERS["wordpiece"], (16,)).encode([text])
    assert words(batch, 0, text)[0] == "re\u0301"


@both
def test_nul_characters_and_spelt_out_specials_are_plain_text(name: str) -> None:
    tokenizer = TOKENIZERS[name]
    text = "a\0b [SEP] [MASK] [PAD] c"
    batch = TextTokenizer(tokenizer, (64,)).encode([text])
    ids = batch.input_ids[0][batch.attention_mask[0] == 1].tolist()
    assert ids.count(tokenizer.token_to_id("[SEP]")) == 1
    assert tokenizer.token_to_id("[PAD]") not in ids
    assert words(batch, 0, text)[-1] == "c"


@both
def test_empty_and_blank_texts_have_no_words(name: str) -> None:
    tokenizer = TextTokenizer(TOKENIZERS[name], (8, 16))
    for text in ("", " ", "\n \t"):
        batch = tokenizer.encode([text])
        assert batch.input_ids.shape == (1, 8)
        assert batch.word_starts.sum() == batch.word_ends.sum() == 0
        assert batch.attention_mask.sum() >= 2
        assert not batch.truncated[0]
    assert tokenizer.encode([]).input_ids.shape == (0, 8)


@both
def test_shapes_types_and_special_tokens(name: str) -> None:
    tokenizer = TOKENIZERS[name]
    batch = TextTokenizer(tokenizer, (16, 32)).encode(["Jordan", "Nike, New York"])
    for array in (batch.input_ids, batch.attention_mask, batch.word_starts, batch.word_ends):
        assert array.shape == (2, 16)
        assert array.dtype == np.int32
    assert batch.offsets.shape == (2, 16, 2)
    assert batch.offsets.dtype == np.int32
    assert batch.truncated.dtype == np.bool_
    for b in range(2):
        count = int(batch.attention_mask[b].sum())
        assert batch.attention_mask[b, :count].all()
        assert batch.input_ids[b, 0] == tokenizer.token_to_id("[CLS]")
        assert batch.input_ids[b, count - 1] == tokenizer.token_to_id("[SEP]")
        assert (batch.input_ids[b, count:] == tokenizer.token_to_id("[PAD]")).all()
        outside = [0, *range(count - 1, 16)]
        for array in (batch.word_starts, batch.word_ends, batch.offsets):
            assert not array[b, outside].any()


TEXTS = st.lists(
    st.text(st.sampled_from("abz JN.'#é\u0301\u200d🏀東ش\0\n\t"), max_size=60)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    min_size=1,
    max_size=5,
)


@both
@given(texts=TEXTS)
@settings(max_examples=60, deadline=None)
def test_a_batch_equals_its_items_and_padding_changes_nothing(name: str, texts: list[str]) -> None:
    tokenizer = TextTokenizer(TOKENIZERS[name], (16, 64, 512))
    batch = tokenizer.encode(texts)
    assert batch.input_ids.shape[1] in (16, 64, 512)
    for b, text in enumerate(texts):
        alone = tokenizer.encode([text])
        L = alone.input_ids.shape[1]
        for field in ("input_ids", "attention_mask", "word_starts", "word_ends", "offsets"):
            whole, item = getattr(batch, field)[b], getattr(alone, field)[0]
            np.testing.assert_array_equal(whole[:L], item)
            assert field == "input_ids" or not whole[L:].any()
        for word in words(alone, 0, text):
            assert word
            assert word == word.strip()


@both
@given(texts=TEXTS)
@settings(max_examples=30, deadline=None)
def test_requests_padded_together_are_what_their_texts_make_together(
    name: str, texts: list[str]
) -> None:
    """Each text is a request by itself; only the axis L is touched, and nothing in front of it."""

    def tensors(batch: TextBatch) -> dict[str, npt.NDArray[Any]]:
        return {
            "INPUT_IDS": batch.input_ids,
            "ATTENTION_MASK": batch.attention_mask,
            "WORD_STARTS": batch.word_starts,
            "WORD_ENDS": batch.word_ends,
            "OFFSETS": batch.offsets,
            "TRUNCATED": batch.truncated[:, None],
        }

    tokenizer = TextTokenizer(TOKENIZERS[name], (16, 64, 512))
    requests = [tensors(tokenizer.encode([text])) for text in texts]
    pad_together(requests, tokenizer.pad_id)
    for wanted, array in tensors(tokenizer.encode(texts)).items():
        np.testing.assert_array_equal(np.concatenate([r[wanted] for r in requests]), array)
        assert {request[wanted].dtype for request in requests} == {array.dtype}


def test_no_requests_are_padded_to_nothing() -> None:
    pad_together([], 0)


@both
def test_the_smallest_bucket_that_holds_the_longest_text(name: str) -> None:
    tokenizer = TextTokenizer(TOKENIZERS[name], (4, 8, 32))
    count = int(tokenizer.encode(["a b c d"]).attention_mask.sum())
    assert tokenizer.encode(["a"]).input_ids.shape[1] == 4
    assert tokenizer.encode(["a b c d"]).input_ids.shape[1] == (8 if count <= 8 else 32)
    exact = TextTokenizer(TOKENIZERS[name], (count, 50)).encode(["a b c d"])
    assert exact.input_ids.shape[1] == count


@both
def test_truncation_leaves_out_the_word_that_does_not_fit(name: str) -> None:
    whole = TextTokenizer(TOKENIZERS[name], (128,))
    text = "go to foxhjumplazyd now"  # a word of several subwords in the middle
    full = whole.encode([text])
    starts, ends = np.flatnonzero(full.word_starts[0]), np.flatnonzero(full.word_ends[0])
    assert ends[2] > starts[2]
    for longest in range(int(starts[2]) + 1, int(ends[2]) + 2):
        batch = TextTokenizer(TOKENIZERS[name], (longest,)).encode([text])
        assert words(batch, 0, text) == ["go", "to"]
        assert batch.truncated[0]
        count = int(batch.attention_mask.sum())
        assert batch.input_ids[0, count - 1] == TOKENIZERS[name].token_to_id("[SEP]")
    room = int(ends[2]) + 2
    batch = TextTokenizer(TOKENIZERS[name], (room,)).encode([text])
    assert words(batch, 0, text) == ["go", "to", "foxhjumplazyd"]
    assert batch.truncated[0]
    assert not TextTokenizer(TOKENIZERS[name], (128,)).encode([text]).truncated[0]


@both
@given(
    text=st.lists(
        st.sampled_from(
            ["a", "Jordan ", " ", "   ", "don't ", "'", "l", "q" * 90, "東", "🏀", "\n"]
        ),
        min_size=30,
        max_size=120,
    ).map("".join)
)
@settings(max_examples=60, deadline=None)
def test_reading_a_prefix_first_changes_no_answer(name: str, text: str) -> None:
    tokenizer = TextTokenizer(TOKENIZERS[name], (24,))
    before = text_module._CHARACTERS_A_TOKEN
    try:
        text_module._CHARACTERS_A_TOKEN = 1
        prefix_first = tokenizer.encode([text])
        text_module._CHARACTERS_A_TOKEN = 100_000
        at_once = tokenizer.encode([text])
    finally:
        text_module._CHARACTERS_A_TOKEN = before
    for field in ("input_ids", "word_starts", "word_ends", "offsets", "truncated"):
        np.testing.assert_array_equal(getattr(prefix_first, field), getattr(at_once, field))


@both
@pytest.mark.parametrize("unit", ["Jordan ", " ", "q", "東", "\0", "'"])
def test_a_text_of_megabytes_costs_no_seconds(name: str, unit: str) -> None:
    text = "Nike and " + unit * (10_000_000 // len(unit))
    tokenizer = TextTokenizer(TOKENIZERS[name], (16, 64))
    began = time.perf_counter()
    batch = tokenizer.encode([text])
    assert time.perf_counter() - began < 3
    assert batch.truncated[0]
    assert words(batch, 0, text)[:2] == ["Nike", "and"]


def test_given_tokenizer_is_left_as_it_was() -> None:
    tokenizer = wordpiece()
    tokenizer.enable_truncation(5)
    tokenizer.enable_padding(length=7, pad_id=1)
    before = tokenizer.to_str()
    encoder = TextTokenizer(tokenizer, (32,))
    batch = encoder.encode(["a b c d e f g h"])
    assert tokenizer.to_str() == before
    assert batch.attention_mask.sum() == 10
    assert encoder.pad_id == 1


def test_from_file(tmp_path) -> None:
    TOKENIZERS["wordpiece"].save(str(tmp_path / "tokenizer.json"))
    encoder = TextTokenizer.from_file(tmp_path / "tokenizer.json", (8,))
    assert words(encoder.encode(["Nike"]), 0, "Nike") == ["Nike"]
    with pytest.raises(FileNotFoundError, match=r"missing\.json"):
        TextTokenizer.from_file(tmp_path / "missing.json", (8,))
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(ValueError, match=r"bad\.json"):
        TextTokenizer.from_file(tmp_path / "bad.json", (8,))


def test_unusable_tokenizers_and_buckets_are_refused() -> None:
    good = TOKENIZERS["wordpiece"]
    for buckets in ((), (8, 8), (16, 8)):
        with pytest.raises(ValueError, match="increase"):
            TextTokenizer(good, buckets)
    with pytest.raises(ValueError, match="2 special tokens"):
        TextTokenizer(good, (2,))
    bare = Tokenizer(models.WordPiece({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))
    with pytest.raises(ValueError, match="post_processor"):
        TextTokenizer(bare, (8,))
    bare.post_processor = processors.TemplateProcessing("$A [UNK]", None, [("[UNK]", 1)])
    with pytest.raises(ValueError, match="padding"):
        TextTokenizer(bare, (8,))


def test_decode_utf8() -> None:
    assert decode_utf8("é\0🏀".encode()) == "é\0🏀"
    for data, position in ((b"ab\xff", 2), (b"\xed\xa0\x80", 0), (b"caf\xc3", 3)):
        with pytest.raises(PostError, match=f"position {position}") as caught:
            decode_utf8(data)
        assert caught.value.code == "TEXT_NOT_UTF8"
