"""What a Triton server's log says about why it ended."""

from __future__ import annotations

import re

__all__ = ["failure_lines"]

# Triton writes a message of many lines on one, its line ends escaped.
_ERROR = re.compile(r'^E\d{4} \S+ \d+ \S+\] "(.*)"$')
# What Triton's libraries and its command line print.
_OTHER = re.compile(
    r"^error: .*|^\[libprotobuf ERROR.*?\] (.*)|.*unrecognized option.*|^cannot run .*"
)
_PLACE = re.compile(r"\\n\s*At:\\n\s*(.*?)(?:\\n|$)")
#: Said on every machine without a GPU.
_HARMLESS = ("CudaDriverHelper has not been initialized", "unable to create stream")
#: Said again, with the model's name, by the line that follows.
_REPEATED = ("ERROR: Failed to create instance",)


def failure_lines(log: str, limit: int = 12) -> list[str]:
    """The errors in ``log``, in order, each once and on one line; at most ``limit``, the first.

    A Python error keeps its message and the place where it was raised. A log without errors gives
    its last lines instead; an empty log nothing.
    """
    found: dict[str, None] = {}
    for line in log.splitlines():
        error = _ERROR.match(line)
        if error:
            message = error[1]
            if not message.startswith((*_HARMLESS, *_REPEATED)):
                found[_shortened(message)] = None
        else:
            other = _OTHER.match(line)
            if other:
                found[other[1] or other[0]] = None
    if found:
        return list(found)[:limit]
    return [line for line in log.splitlines() if line.strip()][-5:]


def _shortened(message: str) -> str:
    place = _PLACE.search(message)
    first = message.split(r"\n", 1)[0].rstrip()
    return f"{first} (at {place[1]})" if place else first
