"""Calls that nobody waits for any more run to their end, against a real gRPC server."""

import asyncio
import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from mqspn_client import AsyncClient, Client, RetrySettings

from tests.unit.clients.kserve_server import RefusalError

ANSWER = [json.dumps({"entities": [], "model_version": "", "truncated": False}).encode()]


@pytest.fixture
def slow(server):
    """Makes every call last; the list says of each ended call whether it was still wanted."""
    ended = []

    def behaviour(tensors, context):
        time.sleep(0.6)
        ended.append(context.is_active())
        return ANSWER

    server.always = behaviour
    return ended


@pytest.fixture(autouse=True)
def _no_complaints(caplog):
    """asyncio complains of nothing: no task destroyed, no exception never retrieved."""
    yield
    gc.collect()
    records = [*caplog.get_records("call"), *caplog.records]
    assert [record.getMessage() for record in records if record.name == "asyncio"] == []


async def cancel_soon(call) -> float:
    """Cancel ``call`` when it is with the server; seconds until it ended."""
    task = asyncio.create_task(call)
    await asyncio.sleep(0.2)
    start = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return time.monotonic() - start


def test_a_cancelled_task_ends_at_once_and_its_call_goes_on(server, slow):
    async def main():
        async with AsyncClient(server.url, timeout_s=5) as client:
            assert await cancel_soon(client.predict("A1")) < 0.1
            assert slow == []
            assert await client.ready()
            assert (await client.predict("B1")).entities == ()
        return list(slow)

    assert asyncio.run(main()) == [True, True]


def test_wait_for_ends_in_time_and_its_call_goes_on(server, slow):
    async def main():
        async with AsyncClient(server.url, timeout_s=5) as client:
            start = time.monotonic()
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(client.predict("A1"), 0.2)
            assert time.monotonic() - start < 0.4
        return list(slow)  # the end of the block has waited

    assert asyncio.run(main()) == [True]


def test_the_cancelled_task_may_be_the_one_that_closes(server, slow):
    async def use():
        async with AsyncClient(server.url, timeout_s=5) as client:
            await client.predict("A1")

    asyncio.run(cancel_soon(use()))
    assert slow == [True]


def test_many_tasks_are_cancelled(server, slow):
    async def main():
        async with AsyncClient(server.url, timeout_s=5) as client:
            tasks = [asyncio.create_task(client.predict(f"N{i}")) for i in range(12)]
            await asyncio.sleep(0.3)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert all(task.cancelled() for task in tasks)

    asyncio.run(main())
    assert slow == [True] * 12


def test_a_failure_that_nobody_awaits_makes_no_noise_and_is_not_tried_again(server):
    def fail(tensors, context):
        time.sleep(0.4)
        raise RefusalError(grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size")

    server.always = fail

    async def main():
        async with AsyncClient(server.url, timeout_s=5) as client:
            await cancel_soon(client.predict("A1"))

    asyncio.run(main())
    assert len(server.requests) == 1


def test_close_waits_until_the_deadline_at_most(server):
    server.always = lambda tensors, context: time.sleep(3)

    async def main():
        async with AsyncClient(server.url, timeout_s=0.6) as client:
            await cancel_soon(client.predict("A1"))

    start = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - start < 1.5


SCRIPT = """
import sys
from mqspn_client import Client
with Client(sys.argv[1], timeout_s=float(sys.argv[2])) as client:
    print("calling", flush=True)
    try:
        client.predict("Jordan")
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        raise
"""


def interrupted(server, timeout_s: float) -> subprocess.Popen:
    """A script whose call was interrupted when it was with the server, waiting for its end."""
    script = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, server.url, str(timeout_s)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert script.stdout.readline() == "calling\n"
    until = time.monotonic() + 20
    while not server.requests and time.monotonic() < until:
        time.sleep(0.01)
    script.send_signal(signal.SIGINT)
    assert script.stdout.readline() == "interrupted\n"
    return script


def test_ctrl_c_ends_the_waiting_and_not_the_call(server, slow):
    script = interrupted(server, 5)
    assert slow == []
    script.communicate(timeout=20)
    assert script.returncode == -signal.SIGINT
    assert slow == [True]


def test_a_second_ctrl_c_leaves_at_once(server):

    def behaviour(tensors, context):
        time.sleep(8)
        return ANSWER

    server.always = behaviour
    script = interrupted(server, 30)
    time.sleep(0.2)
    start = time.monotonic()
    script.send_signal(signal.SIGINT)
    script.communicate(timeout=20)
    assert time.monotonic() - start < 3


def test_a_signal_handler_that_raises_is_the_same(server, slow):
    def alarm(number, frame):
        raise TimeoutError("alarm")

    before = signal.signal(signal.SIGUSR1, alarm)
    try:
        with Client(server.url, timeout_s=5) as client:
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGUSR1)).start()
            with pytest.raises(TimeoutError, match="alarm"):
                client.predict("A1")
            assert slow == []
            assert client.predict("B1").entities == ()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert slow == [True, True]


def test_close_waits_for_the_calls_of_other_threads(server, slow):
    client = Client(server.url, timeout_s=5, retry=RetrySettings(attempts=1))
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(client.predict, f"N{i}") for i in range(4)]
        time.sleep(0.3)
        client.close()
        assert all(call.result().entities == () for call in calls)
    assert slow == [True] * 4


@pytest.mark.parametrize(
    "program",
    [
        "threading.Thread(target=lambda: (time.sleep(0.5), call())).start()",
        "atexit.register(call)",
    ],
    ids=["thread", "atexit"],
)
def test_a_call_after_the_main_program_s_end(server, program):
    code = (
        "import atexit, sys, threading, time\nfrom mqspn_client import Client\n"
        "client = Client(sys.argv[1])\nclient.predict('A1')\n"
        "def call():\n    print(client.predict('B1').entities[0].text)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code + program, server.url],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.stdout, done.returncode) == ("B1\n", 0), done.stderr
