"""TLS and mutual TLS over real handshakes: what works, and what is refused without a retry."""

import grpc
import pytest
import trustme
from mqspn_client import Client, InvalidRequestError, RetrySettings, SslSettings, TlsRefusedError

from tests.unit.clients.kserve_server import KServeServer

SLOW = RetrySettings(attempts=5, initial_s=30)  # a retry would pass the test's deadline


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def files(authority, tmp_path_factory):
    """PEM files: the authority, a client it knows, another authority and its client."""
    folder = tmp_path_factory.mktemp("pem")
    stranger = trustme.CA()
    for name, ca in (("known", authority), ("stranger", stranger)):
        ca.cert_pem.write_to_path(folder / f"{name}-ca.pem")
        certificate = ca.issue_cert("client@example.org")
        certificate.private_key_pem.write_to_path(folder / f"{name}-key.pem")
        certificate.cert_chain_pems[0].write_to_path(folder / f"{name}-chain.pem")
    return folder


def tls_server(authority, name="127.0.0.1", mutual=False):
    certificate = authority.issue_cert(name)
    return KServeServer(
        credentials=grpc.ssl_server_credentials(
            [(certificate.private_key_pem.bytes(), certificate.cert_chain_pems[0].bytes())],
            authority.cert_pem.bytes() if mutual else None,
            mutual,
        )
    )


def ssl(files, client=None, authority="known"):
    return SslSettings(
        root_certificates=files / f"{authority}-ca.pem",
        private_key=files / f"{client}-key.pem" if client else None,
        certificate_chain=files / f"{client}-chain.pem" if client else None,
    )


@pytest.mark.parametrize("mutual", [False, True])
def test_trust_on_both_sides(authority, files, mutual):
    server = tls_server(authority, mutual=mutual)
    with Client(server.url, ssl=ssl(files, "known" if mutual else None)) as client:
        assert client.ready()
        assert client.predict("Jordan").entities
    server.stop()


@pytest.mark.parametrize(
    ("server", "settings"),
    [
        ({}, {"authority": "stranger"}),
        ({"name": "example.org"}, {}),
        ({"mutual": True}, {}),
        ({"mutual": True}, {"client": "stranger"}),
        ({}, None),
        (None, {}),
    ],
    ids=[
        "unknown authority",
        "wrong name",
        "no client certificate",
        "unknown client",
        "plain to TLS",
        "TLS to plain",
    ],
)
def test_a_refusal_is_told_at_once_and_not_tried_again(authority, files, server, settings):
    server = KServeServer() if server is None else tls_server(authority, **server)
    options = {} if settings is None else {"ssl": ssl(files, **settings)}
    with Client(server.url, retry=SLOW, timeout_s=5, **options) as client:
        for call in (lambda: client.predict("Jordan"), client.ready):
            with pytest.raises(TlsRefusedError, match="TLS"):
                call()
    server.stop()


def test_a_missing_file_is_named(files):
    with pytest.raises(InvalidRequestError, match=r"no-such\.pem: No such file"):
        Client(ssl=SslSettings(root_certificates=files / "no-such.pem"))


def test_key_and_certificate_go_together(files):
    with pytest.raises(InvalidRequestError, match="go together"):
        Client(ssl=SslSettings(private_key=files / "known-key.pem"))
