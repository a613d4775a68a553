"""The tokenizer of a new checkpoint: the pretrained encoder's, or a WordPiece of its own."""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoConfig, AutoTokenizer

from mqspn.network.pretrained import loading_pretrained
from mqspn.settings import Settings
from mqspn.training.errors import TrainingError

__all__ = ["build_tokenizer", "train_wordpiece"]

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def build_tokenizer(settings: Settings, texts: Iterable[str]) -> Tokenizer:
    """Load the pretrained text encoder's fast tokenizer, or train one where none is pretrained.

    One is trained on ``texts`` and the types' prompts.

    Raises BuildError where the pretrained encoder cannot be loaded, and TrainingError where it has
    no fast tokenizer, or one of another vocabulary.
    """
    pretrained = settings.text_encoder.pretrained
    if pretrained is None:
        prompts = [f"{t.prompt} is an entity type about" for t in settings.types]
        return train_wordpiece([*prompts, *texts], size=settings.training.vocabulary_size)
    with loading_pretrained(pretrained, part="text_encoder"):
        size = AutoConfig.from_pretrained(pretrained).get_text_config().vocab_size
        tokenizer = AutoTokenizer.from_pretrained(pretrained, use_fast=True)
    if not tokenizer.is_fast:
        raise TrainingError(f"text encoder {pretrained!r} has no fast tokenizer (tokenizer.json)")
    backend: Tokenizer = tokenizer.backend_tokenizer
    # Without its files transformers makes one of the special tokens alone, to which all is unknown.
    if not size / 2 < backend.get_vocab_size() <= size:
        raise TrainingError(
            f"the tokenizer of text encoder {pretrained!r} knows {backend.get_vocab_size()} "
            f"tokens, the encoder {size}; put its own tokenizer.json (or vocab.txt) beside its "
            "weights"
        )
    backend.no_truncation()
    backend.no_padding()
    return backend


def train_wordpiece(texts: Iterable[str], *, size: int) -> Tokenizer:
    """Train an uncased WordPiece tokenizer, BERT's, with a vocabulary of at most ``size``."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    alphabet = [chr(c) for c in range(33, 127)]
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        special_tokens=list(_SPECIAL),
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    cls, sep = tokenizer.token_to_id("[CLS]"), tokenizer.token_to_id("[SEP]")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", cls), ("[SEP]", sep)],
    )
    return tokenizer
