import json

import grpc
import pytest
from latency import ModelTime, app, model_times, outside_engines
from typer.testing import CliRunner

from tests.unit.clients.kserve_server import KServeServer


def times(requests, total_ms, compute_ms=0.0, queue_ms=0.0):
    return ModelTime(
        requests=requests,
        executions=requests,
        total_ns=int(total_ms * 1e6),
        compute_ns=int(compute_ms * 1e6),
        queue_ns=int(queue_ms * 1e6),
    )


def test_what_is_outside_the_engines():
    """Ten posts of 20 ms: text 4 ms beside regions 2 + 7 ms, then the decoder's 5 ms."""
    before = {name: times(0, 0) for name in ("text_encoder", "region_proposer", "region_encoder")}
    before |= {"query_decoder": times(3, 30, 15), "mqspn": times(3, 900), "other": times(1, 1)}
    after = {
        "text_encoder": times(10, 50, 30, 10),
        "region_proposer": times(10, 50, 20),
        "region_encoder": times(10, 80, 65, 5),
        "query_decoder": times(13, 90, 60, 5),
        "mqspn": times(13, 1100),
        "other": times(1, 1),
    }
    found = outside_engines(before, after)
    assert found["ensemble_ms"] == 20
    assert found["engines_ms"] == 14
    assert found["outside_engines_ms"] == 6
    assert found["outside_engines_share"] == 0.3
    assert set(found["models_ms"]) == set(after) - {"other"}
    assert found["models_ms"]["text_encoder"] == {"total": 5, "compute": 3, "queue": 1}


def test_the_ensembles_are_taken_together():
    """One post of 20 ms with its image, three of 4 ms without."""
    none = dict.fromkeys(("mqspn", "mqspn_text", "region_encoder", "query_decoder"), times(0, 0))
    found = outside_engines(
        none,
        {
            "mqspn": times(1, 20),
            "mqspn_text": times(3, 12),
            "region_encoder": times(1, 12, 12),
            "query_decoder": times(4, 8, 8),
        },
    )
    assert found["ensemble_ms"] == 8
    assert found["engines_ms"] == 5


def test_an_ensemble_without_requests_is_an_error():
    with pytest.raises(ValueError, match="no request of mqspn, mqspn_regions, mqspn_text"):
        outside_engines({"mqspn": times(3, 9)}, {"mqspn": times(3, 9)})


def test_statistics_come_over_the_wire(server):
    found = model_times(server.url, "secret")
    assert set(found) >= {"mqspn", "text_encoder", "query_decoder"}
    assert server.headers[0]["triton-grpc-protocol-operator-key"] == "secret"


def test_the_program_prints_json(server, post_rows):
    arguments = ["--url", server.url, "--data", post_rows, "--calls", "20", "--warm-up", "2"]
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    report = json.loads(done.stdout)
    assert done.exit_code == 0
    assert report["posts"] == {"count": 6, "with_image": 3}
    assert 0 < report["one_caller"]["p50_ms"] <= report["one_caller"]["p99_ms"]
    assert report["many_callers"]["callers"] == 16
    assert report["many_callers"]["posts_per_second"] > 0
    # The toy says: 12 ms a post, engines 3 ms each, two of them one after the other, the decoder.
    assert report["where_the_time_goes"]["ensemble_ms"] == 12
    assert report["where_the_time_goes"]["outside_engines_ms"] == 3
    assert report["machine"]["cores"] >= 1
    assert server.most_at_once > 1


class RestrictedServer(KServeServer):
    """Its statistics are closed, as those of `mqspn serve`."""

    def ModelStatistics(self, request, context):  # noqa: N802
        name = "triton-grpc-protocol-operator-key"
        if name not in dict(context.invocation_metadata()):
            said = f"This protocol is restricted, expecting header '{name}'"
            context.abort(grpc.StatusCode.UNAVAILABLE, said)
        return super().ModelStatistics(request, context)


def test_closed_statistics_name_the_key(post_rows):
    server = RestrictedServer()
    arguments = ["--url", server.url, "--data", str(post_rows), "--calls", "2", "--warm-up", "0"]
    closed = CliRunner().invoke(app, arguments)
    opened = CliRunner().invoke(app, [*arguments, "--operator-key", "KEY"])
    server.stop()
    assert closed.exit_code == 1
    assert "--operator-key" in closed.stderr
    assert "start the server with one" in closed.stderr
    assert closed.stderr.count("\n") == 1
    assert opened.exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--url", "127.0.0.1:1"], "cannot reach"),
        (["--url", "example.org:8001"], "--allow-remote"),
        (["--data", "missing.jsonl"], "missing.jsonl is missing"),
    ],
)
def test_a_failure_is_one_line(post_rows, arguments, message):
    done = CliRunner().invoke(app, ["--data", str(post_rows), *arguments])
    assert done.exit_code == 1
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
