"""A run's tokenizer: made once, then read from the run's folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer

from mqspn.files.replace import replace_text
from mqspn.settings import Settings
from mqspn.training.errors import RunFolderError
from mqspn.training.tokenizer import build_tokenizer

__all__ = ["keep_tokenizer"]


def keep_tokenizer(run: Path, settings: Settings, texts: Iterable[str]) -> Tokenizer:
    """Read the run's tokenizer, made of ``texts`` and kept where it has none yet.

    Training WordPiece twice gives two vocabularies: a run that goes on must read its own. Raises
    RunFolderError where the file is damaged.
    """
    path = run / "tokenizer.json"
    if not path.is_file():
        replace_text(path, build_tokenizer(settings, texts).to_str(pretty=True))
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises no narrower one
        raise RunFolderError(
            f"{path} is damaged ({error}); name another --run folder, or delete this one"
        ) from error
