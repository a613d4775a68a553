"""Processes of their own that need not import torch again each."""

from __future__ import annotations

import multiprocessing
from multiprocessing.context import ForkServerContext

import pytest


@pytest.fixture(scope="session")
def fork_server() -> ForkServerContext:
    """Its processes are forked from one that has imported what a run needs, and done nothing.

    A new interpreter would spend more time on these imports than on the run itself.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["mqspn.cli", "mqspn.training.train", "mqspn.training.loop.logs"]
    )
    return context
