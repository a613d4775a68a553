"""Both clients against a real gRPC server, through the same tests."""

import asyncio
import concurrent.futures
import io
import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import grpc
import pytest
from mqspn_client import (
    AsyncClient,
    Box,
    Client,
    DeadlineExceededError,
    InvalidRequestError,
    ModelMissingError,
    PermissionRefusedError,
    Post,
    PostError,
    ProtocolError,
    RetrySettings,
    ServerInternalError,
    ServerOverloadedError,
    ServerShuttingDownError,
    ServerUnreachableError,
)
from PIL import Image

from tests.unit.clients.kserve_server import KServeServer, RefusalError

QUEUE_FULL = "in ensemble 'mqspn', Exceeds maximum queue size"
STOPPING = "Server is stopping, scheduler for model has stopped accepting new inference requests"
FAST = RetrySettings(attempts=4, initial_s=0.02)


class Waiting:
    """An `AsyncClient` whose methods wait for their answers, on a loop of their own."""

    def __init__(self, *args, **kwargs):
        self.loop = asyncio.new_event_loop()
        self.client = AsyncClient(*args, **kwargs)

    def __getattr__(self, name):
        method = getattr(self.client, name)
        return lambda *args, **kwargs: self.loop.run_until_complete(method(*args, **kwargs))

    def __enter__(self):
        self.loop.run_until_complete(self.client.__aenter__())
        return self

    def __exit__(self, *error):
        self.loop.run_until_complete(self.client.__aexit__(*error))
        self.loop.close()


@pytest.fixture(params=[Client, Waiting], ids=["sync", "async"])
def connect(request):
    """Open a client of either kind."""
    return request.param


@pytest.fixture
def client(connect, server):
    with connect(server.url, timeout_s=10, retry=FAST) as client:
        yield client


def refuse(code, details):
    def behaviour(tensors, context):
        raise RefusalError(code, details)

    return behaviour


def unused_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def test_a_post_without_image(client, server):
    prediction = client.predict("so Jordan 😀 flies, Zubr too")
    assert [(e.text, e.start, e.end, e.box) for e in prediction.entities] == [
        ("Jordan", 3, 9, None),
        ("Zubr", 19, 23, None),
    ]
    assert server.requests[0]["model"] == "mqspn_text"
    assert "IMAGE" not in server.requests[0]


def test_an_image_or_regions_take_the_request_away_from_the_text_ensemble(client, server, png):
    client.predict("Jordan", png)
    client.predict_many([Post("Jordan"), Post("Zubr", png), Post("Ann")])
    client.predict_many([Post("Jordan", png, [[1, 2, 3, 4]]), Post("Ann", None, [])])
    client.predict_many([Post("Jordan"), Post("Ann"), Post("Zubr", "missing.png")])
    assert [request["model"] for request in server.requests] == [
        "mqspn",
        "mqspn",
        "mqspn_regions",
        "mqspn_text",  # the post with an image could not be sent
    ]


def test_a_server_without_the_text_ensemble_is_asked_once(connect, server):
    server.models.remove("mqspn_text")
    # Another behaviour is for the whole ensemble: the fallback keeps the retries it had.
    server.behaviours = [None, refuse(grpc.StatusCode.UNAVAILABLE, QUEUE_FULL)]
    with connect(server.url, retry=FAST) as client:
        assert client.predict("Jordan").entities
        server.models.append("mqspn_text")
        assert client.predict("Zubr").entities
    assert [request["model"] for request in server.requests] == ["mqspn"] * 3


def test_a_server_without_any_ensemble_is_not_taken_for_an_old_one(connect, server):
    models, server.models = server.models, []
    with connect(server.url, retry=FAST) as client:
        with pytest.raises(ModelMissingError, match="'mqspn' is not found"):
            client.predict("Jordan")
        server.models = models
        assert client.predict("Jordan").entities
    assert server.requests[-1]["model"] == "mqspn_text"


def test_an_ensemble_of_ones_own_is_not_passed_by(connect, server):
    server.models += ["mine", "my_text"]
    with connect(server.url, ensemble="mine") as client:
        client.predict("Jordan")
    with connect(server.url, ensemble="mine", text_ensemble="my_text") as client:
        client.predict("Jordan")
    with (
        connect(server.url, text_ensemble="mistyped") as client,
        pytest.raises(ModelMissingError, match="mistyped"),
    ):
        client.predict("Jordan")
    assert [request["model"] for request in server.requests] == ["mine", "my_text"]


@pytest.mark.parametrize("kind", ["bytes", "str", "path", "pillow"])
def test_an_image_of_every_kind(client, tmp_path, png, kind):
    path = tmp_path / "a.png"
    path.write_bytes(png)
    images = {"bytes": png, "str": str(path), "path": path, "pillow": Image.open(path)}
    prediction = client.predict("Jordan", images[kind])
    assert prediction.entities[0].box == Box(0, 0, 40, 30)


def test_regions_go_to_their_own_ensemble(client, server, png):
    prediction = client.predict("Jordan", png, regions=[[1, 2, 3, 4], [5, 6, 7, 8]])
    assert prediction.entities[0].box == Box(1, 2, 3, 4)
    assert server.requests[0]["model"] == "mqspn_regions"
    assert server.requests[0]["REGIONS"].shape == (1, 2, 4)


def test_many_posts_are_one_request_and_keep_their_order(client, server, png):
    posts = [Post(f"N{i}", png if i % 2 else None) for i in range(9)]
    answers = client.predict_many(posts)
    assert [a.entities[0].text for a in answers] == [f"N{i}" for i in range(9)]
    assert [a.entities[0].box is not None for a in answers] == [bool(i % 2) for i in range(9)]
    assert len(server.requests) == 1


def test_a_bad_post_leaves_its_neighbours_their_answers(client, server, png):
    posts = [
        Post("A1"),
        Post("B1", b"no image"),
        Post("C1", "missing.png"),
        Post("D1 \ud83d"),
        Post("E1", png),
        Post("F1", png[:60]),
    ]
    answers = client.predict_many(posts)
    assert [a.code if isinstance(a, PostError) else a.entities[0].text for a in answers] == [
        "A1",
        "IMAGE_FORMAT",
        "IMAGE_UNREADABLE",
        "TEXT_NOT_UTF8",
        "E1",
        "IMAGE_UNREADABLE",
    ]
    assert server.requests[0]["TEXT"].shape == (4, 1)


def test_many_posts_of_which_one_can_be_sent_and_is_bad(client):
    """The server fails the whole request of one post; the list is the same."""
    answers = client.predict_many([Post("A1", "missing.png"), Post("B1", b"no image")])
    assert [a.code for a in answers] == ["IMAGE_UNREADABLE", "IMAGE_FORMAT"]


def test_nothing_to_send_sends_nothing(client, server):
    assert client.predict_many([]) == []
    assert client.predict_many([Post("A", "missing.png")])[0].code == "IMAGE_UNREADABLE"
    assert server.requests == []


def test_a_bad_post_alone_raises(client, server):
    with pytest.raises(PostError, match="IMAGE_FORMAT: send JPEG") as raised:
        client.predict("Jordan", b"no image")
    assert raised.value.message == "send JPEG, PNG, WebP or GIF"
    assert len(server.requests) == 1


def test_a_full_queue_is_tried_again(client, server):
    server.behaviours = [refuse(grpc.StatusCode.UNAVAILABLE, QUEUE_FULL)] * 3
    assert client.predict("Jordan").entities
    assert len(server.requests) == 4


def test_a_queue_that_stays_full_is_an_overload(client, server):
    server.always = refuse(grpc.StatusCode.UNAVAILABLE, QUEUE_FULL)
    with pytest.raises(ServerOverloadedError, match="maximum queue size"):
        client.predict("Jordan")
    assert len(server.requests) == FAST.attempts


@pytest.mark.parametrize(
    ("code", "details", "kind"),
    [
        (grpc.StatusCode.UNAVAILABLE, STOPPING, ServerShuttingDownError),
        (
            grpc.StatusCode.UNAVAILABLE,
            "This protocol is restricted, expecting header 'triton-grpc-protocol-key'",
            PermissionRefusedError,
        ),
        (grpc.StatusCode.INTERNAL, "Stub process is not healthy", ServerInternalError),
        (grpc.StatusCode.INVALID_ARGUMENT, "batch-size must be <= 16", InvalidRequestError),
        (grpc.StatusCode.UNIMPLEMENTED, "no", ProtocolError),
    ],
)
def test_what_another_try_cannot_mend_is_not_tried_again(client, server, code, details, kind):
    server.always = refuse(code, details)
    with pytest.raises(kind, match=details.split()[0]):
        client.predict("Jordan")
    assert len(server.requests) == 1


def test_a_missing_model(connect, server):
    with connect(server.url, ensemble="mqspn_v9") as client:
        with pytest.raises(ModelMissingError, match="mqspn_v9"):
            client.predict("Jordan")
        assert client.ready() is False


def test_every_call_has_a_deadline(connect, server):
    server.always = lambda tensors, context: time.sleep(1.0)
    with connect(server.url, timeout_s=0.2) as client:
        start = time.monotonic()
        with pytest.raises(DeadlineExceededError, match="timeout_s"):
            client.predict("Jordan")
        assert time.monotonic() - start < 0.8
        assert client.predict("Jordan", timeout_s=5).entities


def test_retries_end_with_the_deadline(connect, server):
    server.always = refuse(grpc.StatusCode.UNAVAILABLE, QUEUE_FULL)
    with connect(server.url, timeout_s=0.5, retry=RetrySettings(attempts=1000)) as client:
        start = time.monotonic()
        with pytest.raises(ServerOverloadedError):
            client.predict("Jordan")
        assert time.monotonic() - start < 0.6


def test_no_server(connect):
    with connect(f"127.0.0.1:{unused_port()}", retry=FAST, timeout_s=5) as client:
        with pytest.raises(ServerUnreachableError, match="check the address"):
            client.predict("Jordan")
        assert client.ready() is False


def test_a_name_that_does_not_resolve(connect):
    with (
        connect("no-such-host.invalid:8001", retry=RetrySettings(attempts=1)) as client,
        pytest.raises(ServerUnreachableError, match="no-such-host"),
    ):
        client.predict("Jordan")


def test_a_server_that_comes_back_is_found_again(connect):
    """The connection is lost in the middle of a call; another server takes the port over."""
    first = KServeServer()
    servers = [first]

    def crash(tensors, context):
        def swap():
            first.stop()
            servers.append(KServeServer(port=first.port))

        threading.Thread(target=swap).start()
        time.sleep(1)

    first.behaviours = [crash]
    try:
        with connect(first.url, timeout_s=20, retry=RetrySettings(attempts=20)) as client:
            assert client.predict("Jordan").entities
    finally:
        servers[-1].stop()
    assert len(servers[-1].requests) == 1


def test_the_http_port_is_named_as_the_mistake(connect):
    class Page(BaseHTTPRequestHandler):
        def log_message(self, *args):
            pass

    http = HTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    try:
        with (
            connect(f"127.0.0.1:{http.server_port}", timeout_s=5) as client,
            pytest.raises(ProtocolError, match="does not speak gRPC"),
        ):
            client.predict("Jordan")
    finally:
        http.shutdown()
        http.server_close()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost",
        "localhost:",
        ":8001",
        "localhost:grpc",
        "localhost:-1",
        "localhost:0",
        "localhost:65536",
        "localhost:8001/",
        " localhost:8001",
        "::1:8001",
        "http://127.0.0.1:8001",
        "https://triton.example.org",
        "grpc://127.0.0.1:8001",
        "localhost:٨٠٠١",
    ],
)
def test_what_is_no_address_is_refused(connect, url):
    with pytest.raises(InvalidRequestError, match=r"HOST:PORT.*127\.0\.0\.1:8001") as raised:
        connect(url)
    assert repr(url) in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:8001",
        "[::1]:8001",
        "triton-0.example.org:65535",
        "my_service:1",
        "dns:8001",
        "dns:///triton.example.org:8001",
        "ipv4:10.0.0.1:8001,10.0.0.2:8001",
        "unix:/run/triton.sock",
    ],
)
def test_an_address_is_taken(connect, url):
    with connect(url):
        pass


@pytest.mark.parametrize("answers", [[], [b"{}", b"{}"], [b"not JSON"], [b'{"entities": 1}']])
def test_an_answer_that_cannot_be_understood(client, server, answers):
    server.always = lambda tensors, context: answers
    with pytest.raises(ProtocolError):
        client.predict("Jordan")
    assert len(server.requests) == 1


def test_ready_and_metadata(client, server):
    assert client.ready() is True
    metadata = client.metadata()
    assert (metadata.server, metadata.server_version) == ("triton", "2.51.0")
    assert (metadata.model, metadata.model_versions) == ("mqspn", ("1",))
    assert (metadata.inputs, metadata.outputs) == (("TEXT", "IMAGE"), ("ENTITIES",))


def test_headers_go_with_every_call(connect, server):
    with connect(server.url, headers={"triton-grpc-protocol-key": "open"}) as client:
        client.predict("Jordan")
    assert server.headers[0]["triton-grpc-protocol-key"] == "open"


def test_a_large_image_passes(client, server):
    buffer = io.BytesIO()
    Image.effect_noise((2600, 2600), 90).save(buffer, "PNG")
    assert len(buffer.getvalue()) > 4 * 2**20  # gRPC's own limit
    assert client.predict("Jordan", buffer.getvalue()).entities[0].box == Box(0, 0, 2600, 2600)


def test_a_large_answer_passes(client, server):
    answer = {"entities": [], "model_version": "x" * (5 * 2**20), "truncated": False}
    server.always = lambda tensors, context: [json.dumps(answer).encode()]
    assert len(client.predict("Jordan").model_version) == 5 * 2**20


def test_channel_arguments_come_on_top_of_the_defaults(connect, server, png):
    small = [("grpc.max_send_message_length", 10)]
    with (
        connect(server.url, channel_args=small) as client,
        pytest.raises(InvalidRequestError, match="too large"),
    ):
        client.predict("Jordan", png)


def test_a_closed_client_says_so(connect, server):
    client = connect(server.url)
    client.predict("Jordan")
    client.close()
    client.close()
    with pytest.raises(InvalidRequestError, match="closed"):
        client.predict("Jordan")


def test_round_robin_over_addresses(connect, server):
    lost = f"127.0.0.1:{unused_port()}"
    args = [("grpc.lb_policy_name", "round_robin")]
    with connect(server.url, channel_args=args) as client:
        assert client.predict("Jordan").entities
    with (
        connect(lost, channel_args=args, retry=FAST, timeout_s=5) as client,
        pytest.raises(ServerUnreachableError),
    ):
        client.predict("Jordan")


def test_threads_may_share_a_client(server):
    server.delay_s = 0.02
    with Client(server.url) as client, concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda i: client.predict(f"N{i}"), range(200)))
    assert [a.entities[0].text for a in answers] == [f"N{i}" for i in range(200)]
    assert server.most_at_once > 4


def test_threads_find_out_together_that_the_server_has_no_text_ensemble(server):
    server.models.remove("mqspn_text")
    with Client(server.url) as client, concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda i: client.predict(f"N{i}"), range(64)))
    assert [a.entities[0].text for a in answers] == [f"N{i}" for i in range(64)]
    assert {request["model"] for request in server.requests} == {"mqspn"}


def test_tasks_may_share_an_async_client(server):
    server.delay_s = 0.02

    async def call():
        async with AsyncClient(server.url) as client:
            return await asyncio.gather(*(client.predict(f"N{i}") for i in range(100)))

    answers = asyncio.run(call())
    assert [a.entities[0].text for a in answers] == [f"N{i}" for i in range(100)]
    assert server.most_at_once > 4
