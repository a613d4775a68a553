"""Read from a Triton server's log why it ended."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator, Sequence

__all__ = ["failure_lines"]

# Triton writes a message of many lines on one, its line ends escaped.
_TRITON = re.compile(r"^[EWIV]\d{4} \S+ \d+ \S+\] ?")
_ERROR = re.compile(r'^E\d{4} \S+ \d+ \S+\] "(.*)"$')
# What Triton's libraries, its command line and the C++ runtime print.
_OTHER = re.compile(
    r"^error: .*|^\[libprotobuf ERROR.*?\] (.*)|.*unrecognized option.*|^cannot run .*"
    r"|^terminate called .*|^\s+(what\(\): .*)|^Fatal Python error: .*"
)
_SIGNAL = re.compile(r"^Signal \((\d+)\) received")
_TRACEBACK = "Traceback (most recent call last):"
_PLACE = re.compile(r"\\n\s*At:\\n\s*(.*?)(?:\\n|$)")
#: Said on every machine without a GPU.
_HARMLESS = ("CudaDriverHelper has not been initialized", "unable to create stream")
#: Said again, with the model's name, by the line that follows.
_REPEATED = ("ERROR: Failed to create instance",)
#: Lines before a running server's end that may tell its reason: older errors are of requests.
_LAST_WORDS = 10


def failure_lines(log: str, *, was_ready: bool, limit: int = 12) -> list[str]:
    """List the reasons in ``log``, in order, each once and on one line; at most ``limit``.

    Of a server that did not become ready these are its errors, the first ones. Of one that was
    ready they are what stands at its end: the signal that it received, the last errors. A Python
    error keeps its message and the place where it was raised; a traceback its last line, the
    exception. A log without reasons gives its last lines instead; an empty log nothing.
    """
    lines = log.splitlines()
    reasons = list(_reasons(lines))
    if was_ready:
        signals = [at for at, line in enumerate(lines) if _SIGNAL.match(line)]
        first = (signals[-1] if signals else len(lines)) - _LAST_WORDS
        reasons = [(at, reason) for at, reason in reasons if at >= first]
    found = list(dict.fromkeys(reason for _, reason in reasons))
    found = found[-limit:] if was_ready else found[:limit]
    return found or [line for line in lines if line.strip()][-5:]


def _reasons(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Each line's number that gives a reason, and the reason."""
    in_traceback = False
    for at, line in enumerate(lines):
        if line.startswith(_TRACEBACK):
            in_traceback = True
        elif error := _ERROR.match(line):
            if not error[1].startswith((*_HARMLESS, *_REPEATED)):
                yield at, _shortened(error[1])
        elif received := _SIGNAL.match(line):
            yield at, f"the server received signal {received[1]} ({_name(int(received[1]))})"
        elif other := _OTHER.match(line):
            yield at, other[1] or other[2] or other[0]
        elif in_traceback and line and not line[0].isspace() and not _TRITON.match(line):
            in_traceback = False
            yield at, line


def _shortened(message: str) -> str:
    if _TRACEBACK in message:
        before, *_, frames = message.split(_TRACEBACK)  # the last one of a chain
        last = [line for line in frames.split(r"\n") if line and not line[0].isspace()]
        return before + "".join(last[:1])
    place = _PLACE.search(message)
    first = message.split(r"\n", 1)[0].rstrip()
    return f"{first} (at {place[1]})" if place else first


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"
