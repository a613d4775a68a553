import http.server
import threading

import pytest
from figures import Record
from server_columns import (
    ServerTime,
    columns,
    columns_table,
    default_metrics_url,
    read_metrics,
    read_server_times,
)

METRICS = """
# HELP nv_inference_request_success Number of successful inference requests
nv_inference_request_success{model="mqspn",version="1"} 4
nv_inference_request_success{model="mqspn_text",version="1"} 1
nv_inference_request_success{model="text_encoder",version="1"} 5
nv_inference_exec_count{model="text_encoder",version="1"} 2
nv_inference_request_duration_us{model="mqspn",version="1"} 4e+04
nv_inference_request_duration_us{model="mqspn_text",version="1"} 10000
nv_inference_queue_duration_us{model="text_encoder",version="1"} 5000
nv_inference_compute_input_duration_us{model="text_encoder",version="1"} 500
nv_inference_compute_infer_duration_us{model="text_encoder",version="1"} 20000
nv_inference_compute_output_duration_us{model="text_encoder",version="1"} 250
nv_cpu_utilization 0.5
"""


def answered():
    """Five answered posts of 12 ms, sent 1 ms late, and one refused."""
    record = Record()
    record.start(0.0)
    for i in range(5):
        record.add("post", 12.0, due_at=float(i), posts=1, send_delay_ms=1.0)
    record.add("bad", 500.0, due_at=5.0)
    return record


def test_where_a_requests_time_went():
    """Every ensemble counts: 50 ms of five requests are 10 ms a request."""
    found = columns(answered(), {"mqspn": ServerTime()}, read_metrics(METRICS))
    assert found["client_send_ms"] == 1
    assert found["server_ms"] == 10
    assert found["network_ms"] == 1
    assert found["p99_ms"] == 12
    assert found["models"] == {
        "text_encoder": {
            "requests": 5,
            "requests_per_execution": 2.5,
            "queue_ms": 1,
            "compute_in_ms": 0.1,
            "compute_infer_ms": 4,
            "compute_out_ms": 0.05,
        }
    }
    table = columns_table(found)
    assert "client send" in table
    assert "text_encoder" in table


def test_only_what_came_since_counts():
    before = read_metrics(METRICS)
    with pytest.raises(ValueError, match="counted no request"):
        columns(answered(), before, before)


def test_metrics_come_over_http():
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(METRICS.encode())

        def log_message(self, *arguments):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as serving:
        threading.Thread(target=serving.handle_request).start()
        url = f"127.0.0.1:{serving.server_port}"
        found = read_server_times("unused:1", metrics_url=url, operator_key=None)
    assert found["mqspn"] == ServerTime(requests=4, total_us=40_000)


def test_the_operators_key_opens_the_statistics(server):
    found = read_server_times(server.url, metrics_url="127.0.0.1:1", operator_key="secret")
    assert "text_encoder" in found
    assert server.headers[0]["triton-grpc-protocol-operator-key"] == "secret"


def test_no_metrics_say_what_to_do(server):
    with pytest.raises(OSError, match="--metrics-url"):
        read_server_times(server.url, metrics_url="127.0.0.1:1", operator_key=None)
    server.stop()
    with pytest.raises(OSError, match="no statistics"):
        read_server_times(server.url, metrics_url="127.0.0.1:1", operator_key="key")


@pytest.mark.parametrize(
    ("url", "metrics_url"),
    [
        ("127.0.0.1:8001", "127.0.0.1:8002"),
        ("localhost:8001", "localhost:8002"),
        ("[::1]:8001", "[::1]:8002"),
        ("127.0.0.1:9001", None),
        ("example.org:8001", None),
        ("127.0.0.1", None),
    ],
)
def test_only_the_usual_ports_of_this_machine_are_guessed(url, metrics_url):
    assert default_metrics_url(url) == metrics_url


def test_a_server_elsewhere_has_no_columns_unless_asked():
    with pytest.raises(OSError, match=r"name them with --metrics-url"):
        read_server_times("127.0.0.1:9001", metrics_url=None, operator_key=None)
