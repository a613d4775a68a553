"""The reason is picked out of a log as Triton 2.51 writes it."""

from __future__ import annotations

from mqspn.serving.server_log import failure_lines

FAILED_LOAD = r"""
W1124 19:00:00.1 7 pinned_memory_manager.cc:273] "Unable to allocate pinned system memory"
E1124 19:00:00.2 7 server.cc:241] "CudaDriverHelper has not been initialized."
I1124 19:00:00.3 7 model_lifecycle.cc:472] "loading: a:1"
E1124 19:00:01.1 7 backend_model.cc:692] "ERROR: Failed to create instance: E: gone\n\nAt:\n  /m/a.py(3): load\n"
E1124 19:00:01.2 7 model_lifecycle.cc:642] "failed to load 'a' version 1: Internal: E: gone\n\nAt:\n  /m/a.py(3): load\n  /m/b.py(9): call\n"
I1124 19:00:01.3 7 server.cc:674]
+-------+---------+-------------------------------+
| Model | Version | Status                        |
+-------+---------+-------------------------------+
| a     | 1       | UNAVAILABLE: Internal: E: gone|
+-------+---------+-------------------------------+
error: creating server: Internal - failed to load all models
"""  # noqa: E501


def test_a_failed_load() -> None:
    assert failure_lines(FAILED_LOAD) == [
        "failed to load 'a' version 1: Internal: E: gone (at /m/a.py(3): load)",
        "error: creating server: Internal - failed to load all models",
    ]


def test_the_first_reasons_are_kept_and_each_said_once() -> None:
    log = "\n".join(f'E1124 19:00:00.1 7 x.cc:1] "reason {i // 2}"' for i in range(100))
    assert failure_lines(log, limit=3) == ["reason 0", "reason 1", "reason 2"]


def test_a_configuration_that_is_no_protobuf() -> None:
    log = '[libprotobuf ERROR /a/b.cc:337] Error parsing: 1:2: no field named "bogus".'
    assert failure_lines(log) == ['Error parsing: 1:2: no field named "bogus".']


def test_a_log_without_errors_gives_its_end() -> None:
    lines = [f"line {i}" for i in range(9)]
    assert failure_lines("\n".join([*lines, "", " "])) == lines[-5:]
    assert failure_lines("") == []
