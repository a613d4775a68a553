"""The reason is picked out of a log as Triton 2.51 writes it."""

from __future__ import annotations

import pytest
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
    assert failure_lines(FAILED_LOAD, was_ready=False) == [
        "failed to load 'a' version 1: Internal: E: gone (at /m/a.py(3): load)",
        "error: creating server: Internal - failed to load all models",
    ]


def test_the_first_reasons_are_kept_and_each_said_once() -> None:
    log = "\n".join(f'E1124 19:00:00.1 7 x.cc:1] "reason {i // 2}"' for i in range(100))
    assert failure_lines(log, was_ready=False, limit=3) == ["reason 0", "reason 1", "reason 2"]


def test_a_configuration_that_is_no_protobuf() -> None:
    log = '[libprotobuf ERROR /a/b.cc:337] Error parsing: 1:2: no field named "bogus".'
    assert failure_lines(log, was_ready=False) == ['Error parsing: 1:2: no field named "bogus".']


@pytest.mark.parametrize("was_ready", [False, True])
def test_a_log_without_errors_gives_its_end(was_ready: bool) -> None:
    lines = [f"line {i}" for i in range(9)]
    assert failure_lines("\n".join([*lines, "", " "]), was_ready=was_ready) == lines[-5:]
    assert failure_lines("", was_ready=was_ready) == []


# A request that failed long ago; then the server ran on.
RAN = r"""
E1124 22:01:00.1 7 server.cc:241] "CudaDriverHelper has not been initialized."
I1124 22:01:03.1 7 grpc_server.cc:2558] "Started GRPCInferenceService at 127.0.0.1:8001"
E1124 22:01:04.1 7 pb_stub.cc:714] "Failed to process the request(s) for model 'a_0_0', message: ValueError: old\n\nAt:\n  /m/a.py(8): execute\n"
""" + "".join(  # noqa: E501
    f'I1124 22:02:{i}.1 7 grpc_server.cc:2600] "Process for ModelInferHandler, rpc_ok=1"\n'
    for i in range(10, 30)
)
CRASHED = """Signal (11) received.
 0# 0x000055DDA5BCC52D in /opt/tritonserver/bin/tritonserver
 1# 0x00007F6D48E5A050 in /lib/x86_64-linux-gnu/libc.so.6
 2# pthread_mutex_lock in /lib/x86_64-linux-gnu/libc.so.6
 3# TRITONBACKEND_ResponseSend in /opt/tritonserver/lib/libtritonserver.so

"""


def test_a_crash_is_its_signal_and_not_an_old_error() -> None:
    assert failure_lines(RAN + CRASHED, was_ready=True) == [
        "the server received signal 11 (SIGSEGV)"
    ]


def test_an_error_just_before_a_crash_is_kept() -> None:
    abort = (
        "terminate called after throwing an instance of 'std::runtime_error'\n"
        "  what():  queue is gone\n" + CRASHED.replace("(11)", "(6)")
    )
    assert failure_lines(RAN + abort, was_ready=True) == [
        "terminate called after throwing an instance of 'std::runtime_error'",
        "what():  queue is gone",
        "the server received signal 6 (SIGABRT)",
    ]


def test_a_crash_while_models_load_comes_after_their_errors() -> None:
    assert failure_lines(FAILED_LOAD + CRASHED, was_ready=False)[-2:] == [
        "error: creating server: Internal - failed to load all models",
        "the server received signal 11 (SIGSEGV)",
    ]


def test_a_stop_that_took_too_long() -> None:
    end = 'Signal (15) received.\nE1124 22:03:00.1 7 main.cc:1] "Exit timeout expired. Exiting."\n'
    assert failure_lines(RAN + end, was_ready=True) == [
        "the server received signal 15 (SIGTERM)",
        "Exit timeout expired. Exiting.",
    ]


def test_a_server_that_ran_gives_its_last_errors() -> None:
    log = "\n".join(f'E1124 22:04:00.1 7 x.cc:1] "reason {i}"' for i in range(100))
    assert failure_lines(log, was_ready=True, limit=3) == ["reason 97", "reason 98", "reason 99"]
    assert failure_lines(RAN, was_ready=True) == RAN.splitlines()[-5:]  # killed: no reason given


# As a model's thread leaves it in the log, the causing exception first.
TRACEBACK = """Exception in thread Thread-1 (load):
Traceback (most recent call last):
  File "/m/a.py", line 11, in load
    {}["a"]
    ~~^^^^^
KeyError: 'a'

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/usr/lib/python3.11/threading.py", line 1045, in _bootstrap_inner
    self.run()
I1124 22:01:03.2 7 model_lifecycle.cc:472] "loading: b:1"
  File "/m/a.py", line 13, in load
    raise RuntimeError("no weights") from e
RuntimeError: no weights
"""


def test_a_traceback_is_its_exception() -> None:
    assert failure_lines(TRACEBACK, was_ready=False) == [
        "KeyError: 'a'",
        "RuntimeError: no weights",
    ]
    assert failure_lines(RAN + TRACEBACK + CRASHED, was_ready=True) == [
        "RuntimeError: no weights",
        "the server received signal 11 (SIGSEGV)",
    ]


def test_a_traceback_in_a_message_is_its_last_exception() -> None:
    lines = [line for line in TRACEBACK.splitlines()[1:] if not line.startswith("I1124")]
    escaped = r"\n".join([*lines, ""])
    log = f"E1124 22:01:03.1 7 x.cc:1] \"failed to load 'a' version 1: Internal: {escaped}\""
    assert failure_lines(log, was_ready=False) == [
        "failed to load 'a' version 1: Internal: RuntimeError: no weights"
    ]
