"""Ask the server where requests spent their time: the columns that perf_analyzer shows.

From Triton's metrics, which need no key, or with the operator's key from its statistics. Both count
requests that succeeded.
"""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import Any

import tritonclient.grpc as triton
from addresses import is_loopback
from figures import Record
from tritonclient.utils import InferenceServerException

__all__ = [
    "ServerTime",
    "columns",
    "columns_table",
    "default_metrics_url",
    "read_metrics",
    "read_server_times",
]

_METRIC = re.compile(r'nv_inference_(\w+)\{model="([^"]+)"[^}]*\} ([\d.e+]+)')
_NAMES = {
    "request_success": "requests",
    "exec_count": "executions",
    "request_duration_us": "total_us",
    "queue_duration_us": "queue_us",
    "compute_input_duration_us": "input_us",
    "compute_infer_duration_us": "infer_us",
    "compute_output_duration_us": "output_us",
}


@dataclass(frozen=True, kw_only=True)
class ServerTime:
    """A model's requests and executions up to now, and the microseconds that they took in all."""

    requests: float = 0.0
    executions: float = 0.0
    total_us: float = 0.0
    queue_us: float = 0.0
    input_us: float = 0.0
    infer_us: float = 0.0
    output_us: float = 0.0

    def since(self, before: ServerTime) -> ServerTime:
        names = self.__dataclass_fields__
        pairs = zip(names, astuple(self), astuple(before), strict=True)
        return ServerTime(**{name: now - then for name, now, then in pairs})


def default_metrics_url(url: str) -> str | None:
    """Guess where the metrics of the server at ``url`` are; None where there is nothing to go by.

    `mqspn serve` has them on port 8002 where posts go to 8001. Another server's ports say nothing:
    on 8002 there might be the metrics of somebody else's.
    """
    host, _, port = url.rpartition(":")
    return f"{host}:8002" if port == "8001" and is_loopback(url) else None


def read_server_times(
    url: str, *, metrics_url: str | None, operator_key: str | None
) -> dict[str, ServerTime]:
    """Read every model's times: statistics where there is a key, else metrics.

    Raises OSError where they cannot be had, and says what to do.
    """
    if operator_key:
        return _read_statistics(url, operator_key)
    if metrics_url is None:
        raise OSError(
            f"nothing says where the metrics of {url} are; name them with --metrics-url, or give "
            "--operator-key"
        )
    address = f"http://{metrics_url}/metrics"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(address, timeout=10) as answer:
            return read_metrics(answer.read().decode("utf-8", "replace"))
    except (urllib.error.URLError, OSError) as error:
        raise OSError(
            f"no metrics at {metrics_url} ({error}); name the server's with --metrics-url, or give "
            "--operator-key"
        ) from error


def read_metrics(text: str) -> dict[str, ServerTime]:
    """Read Triton's metrics (Prometheus text): each model's times, its versions together."""
    found: dict[str, dict[str, float]] = {}
    for name, model, value in _METRIC.findall(text):
        if name in _NAMES:
            times = found.setdefault(model, {})
            times[_NAMES[name]] = times.get(_NAMES[name], 0.0) + float(value)
    return {model: ServerTime(**times) for model, times in found.items()}


def _read_statistics(url: str, operator_key: str) -> dict[str, ServerTime]:
    headers = {"triton-grpc-protocol-operator-key": operator_key}
    try:
        with triton.InferenceServerClient(url) as client:
            answer = client.get_inference_statistics(client_timeout=10.0, headers=headers)
    except InferenceServerException as error:
        raise OSError(f"no statistics from {url}: {error.message()}; is the key right?") from error
    return {
        model.name: ServerTime(
            requests=model.inference_stats.success.count,
            executions=model.execution_count,
            total_us=model.inference_stats.success.ns / 1e3,
            queue_us=model.inference_stats.queue.ns / 1e3,
            input_us=model.inference_stats.compute_input.ns / 1e3,
            infer_us=model.inference_stats.compute_infer.ns / 1e3,
            output_us=model.inference_stats.compute_output.ns / 1e3,
        )
        for model in answer.model_stats
    }


def columns(
    record: Record, before: Mapping[str, ServerTime], after: Mapping[str, ServerTime]
) -> dict[str, Any]:
    """Compute where an answered request's time went, in ms a request, and each model's columns.

    ``client_send``: from when it was due to the call; ``server``: in the ensembles, whose names
    begin with "mqspn"; ``network``: the rest, that is gRPC on both sides and the SDK.
    """
    spent = {name: now.since(before.get(name, ServerTime())) for name, now in after.items()}
    spent = {name: time for name, time in spent.items() if time.requests > 0}
    ensembles = [time for name, time in spent.items() if name.startswith("mqspn")]
    requests = sum(time.requests for time in ensembles)
    if not requests or not record.answered.count:
        raise ValueError("the server counted no request")
    server = sum(time.total_us for time in ensembles) / requests / 1e3
    send = sum(record.send_delays_ms) / len(record.send_delays_ms)
    figures = record.answered
    return {
        "client_send_ms": round(send, 2),
        "network_ms": round(figures.time_ms("mean") - send - server, 2),
        "server_ms": round(server, 2),
        **{f"{name}_ms": round(figures.time_ms(name), 1) for name in ("p50", "p90", "p95", "p99")},
        "models": {
            name: {
                "requests": int(time.requests),
                "requests_per_execution": round(time.requests / max(time.executions, 1), 2),
                "queue_ms": round(time.queue_us / time.requests / 1e3, 2),
                "compute_in_ms": round(time.input_us / time.requests / 1e3, 2),
                "compute_infer_ms": round(time.infer_us / time.requests / 1e3, 2),
                "compute_out_ms": round(time.output_us / time.requests / 1e3, 2),
            }
            for name, time in sorted(spent.items())
            if not name.startswith("mqspn")
        },
    }


def columns_table(found: Mapping[str, Any]) -> str:
    """Lay `columns` out as two tables of text."""
    head = ("client send", "network", "server", "p50", "p90", "p95", "p99")
    keys = ("client_send_ms", "network_ms", "server_ms", "p50_ms", "p90_ms", "p95_ms", "p99_ms")
    lines = [f"{'ms a request':18}" + "".join(f"{name:>14}" for name in head)]
    lines.append(" " * 18 + "".join(f"{found[key]:14.1f}" for key in keys))
    names = ("batch", "server queue", "compute in", "infer", "out")
    lines += ["", f"{'ms in each model':18}" + "".join(f"{name:>14}" for name in names)]
    for name, model in found["models"].items():
        values = list(model.values())[1:]
        lines.append(f"{name:18}" + "".join(f"{value:14.2f}" for value in values))
    return "\n".join(lines)
