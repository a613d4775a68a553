"""The settings files that come with the package."""

from __future__ import annotations

from pathlib import Path

__all__ = ["packaged_settings"]


def packaged_settings() -> dict[str, Path]:
    """Each file by its name, which `--settings` takes."""
    return {path.stem: path for path in sorted(Path(__file__).parent.glob("*.yaml"))}
