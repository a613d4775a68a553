import grpc
import pytest
from mqspn_client import (
    DeadlineExceededError,
    InvalidRequestError,
    ModelMissingError,
    MqspnError,
    PermissionRefusedError,
    PostError,
    ProtocolError,
    RequestCancelledError,
    ServerInternalError,
    ServerOverloadedError,
    ServerShuttingDownError,
    ServerUnreachableError,
    TlsRefusedError,
)
from mqspn_client.grpc_status import error_from_status, post_error_from_message

BY_STATUS = {
    "OK": ProtocolError,
    "CANCELLED": RequestCancelledError,
    "UNKNOWN": ServerInternalError,
    "INVALID_ARGUMENT": InvalidRequestError,
    "DEADLINE_EXCEEDED": DeadlineExceededError,
    "NOT_FOUND": ModelMissingError,
    "ALREADY_EXISTS": InvalidRequestError,
    "PERMISSION_DENIED": PermissionRefusedError,
    "UNAUTHENTICATED": PermissionRefusedError,
    "RESOURCE_EXHAUSTED": ServerOverloadedError,
    "FAILED_PRECONDITION": InvalidRequestError,
    "ABORTED": ServerInternalError,
    "OUT_OF_RANGE": InvalidRequestError,
    "UNIMPLEMENTED": ProtocolError,
    "INTERNAL": ServerInternalError,
    "UNAVAILABLE": ServerUnreachableError,
    "DATA_LOSS": ServerInternalError,
}


@pytest.mark.parametrize("status", list(grpc.StatusCode), ids=lambda status: status.name)
def test_every_grpc_status_has_its_class(status):
    error = error_from_status(status, "something broke", "host:8001")
    assert type(error) is BY_STATUS[status.name]
    assert "something broke" in error.message


def test_a_status_without_details_still_says_something():
    for status in grpc.StatusCode:
        error = error_from_status(status, "")
        assert isinstance(error, MqspnError)
        assert "no details" in error.message


@pytest.mark.parametrize(
    ("details", "kind"),
    [
        ("in ensemble 'mqspn', Exceeds maximum queue size", ServerOverloadedError),
        ("[request id: <id_unknown>] Exceeds maximum queue size", ServerOverloadedError),
        ("Request timeout expired", ServerOverloadedError),
        (
            "Server is stopping, scheduler for model has stopped accepting new inference requests",
            ServerShuttingDownError,
        ),
        ("Server not ready", ServerShuttingDownError),
        (
            "This protocol is restricted, expecting header 'triton-grpc-protocol-key'",
            PermissionRefusedError,
        ),
        (
            "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: "
            "Failed to connect to remote host: Connection refused",
            ServerUnreachableError,
        ),
        (
            "connections to all backends failing; last error: UNKNOWN: ipv4:127.0.0.1:1: "
            "Failed to connect to remote host: Connection refused",
            ServerUnreachableError,
        ),
        ("Stream removed (Socket closed)", ServerUnreachableError),
        ("recvmsg:Connection reset by peer", ServerUnreachableError),
        ("GOAWAY received", ServerUnreachableError),
        (
            "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: Tls "
            "handshake failed (TSI_PROTOCOL_FAILURE): SSL_ERROR_SSL: CERTIFICATE_VERIFY_FAILED",
            TlsRefusedError,
        ),
        (
            "failed to connect to all addresses; last error: UNAVAILABLE: ipv4:127.0.0.1:1: "
            "Socket closed",
            TlsRefusedError,
        ),
        (
            "failed to connect to all addresses; last error: UNAVAILABLE: ipv4:127.0.0.1:8000: "
            "Trying to connect an http1.x server",
            ProtocolError,
        ),
    ],
)
def test_unavailable_is_told_apart_by_its_message(details, kind):
    assert type(error_from_status(grpc.StatusCode.UNAVAILABLE, details)) is kind


def test_a_message_too_large_for_grpc_is_the_request_s_fault():
    details = "CLIENT: Sent message larger than max (12 vs. 4)"
    error = error_from_status(grpc.StatusCode.RESOURCE_EXHAUSTED, details)
    assert type(error) is InvalidRequestError


@pytest.mark.parametrize(
    "prefix",
    ["", "in ensemble 'mqspn', ", "in ensemble 'mqspn', [request id: 7] ", "[request id: 7] "],
)
def test_a_post_error_is_read_from_the_message_whatever_triton_puts_before_it(prefix):
    details = f"{prefix}IMAGE_TOO_LARGE: the image is 9 x 9: send\na smaller one"
    error = error_from_status(grpc.StatusCode.INVALID_ARGUMENT, details)
    assert error == PostError("IMAGE_TOO_LARGE", "the image is 9 x 9: send\na smaller one")


@pytest.mark.parametrize(
    "details",
    [
        "in ensemble 'mqspn', inference request batch-size must be <= 16 for 'mqspn'",
        "unexpected shape for input 'TEXT': IMAGE_FORMAT: no",
        "NOTE: one word is no code",
        "IMAGE_FORMAT:",
    ],
)
def test_other_messages_are_no_post_errors(details):
    assert post_error_from_message(details) is None
