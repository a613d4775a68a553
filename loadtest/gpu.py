"""Measure the service on a GPU: its speed, its answers, and the network alone beside it.

    python loadtest/gpu.py --output loadtest/reports/gpu.json

Starts the real server with the paper's sizes on this machine's GPU (without one: the demo's sizes
on the CPU), compares its answers with those of serving profile cpu, loads it at several numbers of
callers, and times the same network in PyTorch (eager, `torch.compile`) and in TensorRT-RTX's
engines, in turns with the server. Prints tables, and writes a JSON file after every figure.

Exit code 0: all parts done, answers within their bounds, no call failed; 1: not so, the report's
`failures` say why; 2: wrong usage, or a package is missing. A baseline that does not run here is a
row with its reason, and no failure.
"""

from __future__ import annotations

import sys

from bench.installed import choose_profile, missing_parts

__all__ = ["main"]


def main() -> None:
    """Say all that this machine lacks in one message, or run the command."""
    if missing := missing_parts(choose_profile(sys.argv[1:])):
        print(missing, file=sys.stderr)
        sys.exit(2)
    # What it imports is only now known to be here.
    from bench.command import app

    app()


if __name__ == "__main__":
    main()
