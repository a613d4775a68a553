"""What a model may use of the machine: its parameters, and what `mqspn serve` says of all models.

Triton's command line changes no model's parameters. What it cannot say stands in the environment,
which a server hands on to the processes of its Python models.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from mqspn_backend.cores import usable_cores

__all__ = ["CACHE_VARIABLE", "THREADS_VARIABLE", "cache_bytes", "thread_count"]

#: Goes before the parameter `threads` of every model: `mqspn serve --threads` sets it.
THREADS_VARIABLE = "MQSPN_THREADS"
#: MiB for all models that keep results: `mqspn serve --cache-mb` sets it.
CACHE_VARIABLE = "MQSPN_CACHE_MB"


def thread_count(parameter: str, environment: Mapping[str, str] = os.environ) -> int:
    """Make the number of threads from a model's parameter `threads`; 0 is the usable cores.

    MQSPN_THREADS in ``environment`` goes before the parameter, unless it is empty. Raises
    ValueError for anything but a whole number of 0 or more.
    """
    if environment.get(THREADS_VARIABLE):
        threads = _number(THREADS_VARIABLE, environment[THREADS_VARIABLE])
    else:
        threads = _number("the model's parameter threads", parameter)
    return threads or usable_cores()


def cache_bytes(percent: str, environment: Mapping[str, str] = os.environ) -> int:
    """Compute a model's part of the memory that MQSPN_CACHE_MB gives, in bytes; 0 without it.

    ``percent``: the model's parameter `cache_percent`. Raises ValueError for a value that is no
    whole number of 0 or more.
    """
    mebibytes = _number(CACHE_VARIABLE, environment.get(CACHE_VARIABLE) or "0")
    share = _number("the model's parameter cache_percent", percent)
    return mebibytes * 1024 * 1024 * share // 100


def _number(name: str, text: str) -> int:
    if not re.fullmatch("[0-9]{1,7}", text):
        raise ValueError(f"{name} must be a whole number of 0 or more, not {text!r}")
    return int(text)
