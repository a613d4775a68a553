"""A client takes any transport that does what the protocol asks."""

import pytest
from mqspn_client import (
    Client,
    DeadlineExceededError,
    PermissionRefusedError,
    Prediction,
    RetrySettings,
    ServerMetadata,
    ServerShuttingDownError,
    ServerUnreachableError,
)

FAST = RetrySettings(attempts=4, initial_s=0.02)


class Wire:
    """A stand-in for the connection; ``failures`` are raised first, one a call."""

    def __init__(self, failures=()):
        self.failures = list(failures)
        self.calls = []
        self.closed = 0

    def infer(self, model, tensors, timeout_s):
        self.calls.append((model, timeout_s))
        if self.failures:
            raise self.failures.pop(0)
        return [[b'{"entities": [], "model_version": "wire", "truncated": true}']]

    def ready(self, model, timeout_s):
        if self.failures:
            raise self.failures.pop(0)
        return True

    def metadata(self, model, timeout_s):
        self.calls.append((model, timeout_s))
        return ServerMetadata("wire", "1", model, ("1",), (), ())

    def close(self):
        self.closed += 1


def test_a_transport_goes_in_through_the_constructor():
    wire = Wire([ServerUnreachableError("lost")])
    with Client(transport=wire, retry=FAST, timeout_s=7, ensemble="mine") as client:
        assert client.predict("Jordan") == Prediction((), "wire", True)
    assert [model for model, _ in wire.calls] == ["mine", "mine"]
    assert 6.9 < wire.calls[1][1] < wire.calls[0][1] <= 7
    assert wire.closed == 1


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (ServerUnreachableError, False),
        (ServerShuttingDownError, False),
        (DeadlineExceededError, False),
        (PermissionRefusedError, True),
    ],
)
def test_ready_is_false_without_a_server_and_raises_a_refusal(error, raised):
    with Client(transport=Wire([error("no")])) as client:
        if raised:
            with pytest.raises(error):
                client.ready()
        else:
            assert client.ready() is False


def test_the_address_of_another_transport_is_not_looked_at():
    with Client("", transport=Wire()) as client:
        assert client.ready()
