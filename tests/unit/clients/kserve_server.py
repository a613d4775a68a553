"""A real gRPC server that speaks the KServe v2 protocol as Triton does, with a toy model behind it.

The toy finds every capitalised word; its entity is a PER, boxed with the post's first region, or
with the whole image where there is one. Bad images fail as the ensemble's do: the request, where
it holds one post, else only that post's answer.

Run as a program it serves until its input ends: ``python kserve_server.py PORT``.
"""

from __future__ import annotations

import io
import json
import re
import sys
import threading
import time
from concurrent import futures

import grpc
import numpy as np
from PIL import Image, UnidentifiedImageError
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc
from tritonclient.utils import deserialize_bytes_tensor, serialize_byte_tensor

ENGINES = ("text_encoder", "region_proposer", "region_encoder", "query_decoder")
STEPS = ("preprocess", *ENGINES, "postprocess")


class RefusalError(Exception):
    """Raised by a behaviour: the gRPC status and message to answer with."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(details)
        self.code, self.details = code, details


def toy_answer(text: bytes, image: bytes, regions: np.ndarray | None) -> dict:
    """The toy model's answer to one post, or {"error": ...}."""
    box = None
    if image:
        try:
            with Image.open(io.BytesIO(image), formats=["JPEG", "PNG", "WEBP", "GIF"]) as picture:
                picture.load()
                box = [0.0, 0.0, float(picture.width), float(picture.height)]
        except UnidentifiedImageError:
            return {"error": {"code": "IMAGE_FORMAT", "message": "send JPEG, PNG, WebP or GIF"}}
        except OSError as error:
            return {"error": {"code": "IMAGE_UNREADABLE", "message": str(error)}}
        if regions is not None:
            real = regions[regions.any(axis=1)]
            box = real[0].tolist() if len(real) else None
    entities = [
        {
            "text": match[0],
            "start": match.start(),
            "end": match.end(),
            "type": "PER",
            "score": 0.9,
            "box": box,
            "box_score": 0.8,
        }
        for match in re.finditer(r"\b[A-Z]\w+", text.decode("utf-8"))
    ]
    return {"entities": entities, "model_version": "toy", "truncated": False, "new_key": 1}


class KServeServer(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """``behaviours`` are called one a request, in turn, before the toy answers; each may raise
    `RefusalError`, sleep, or return the raw ENTITIES to send. ``requests`` are what came in.
    """

    def __init__(self, port: int = 0, credentials=None, workers: int = 16, delay_s: float = 0.0):
        self.behaviours: list = []
        self.always = None
        self.requests: list[dict] = []
        self.headers: list[dict] = []
        self.most_at_once = 0
        self._at_once = 0
        self._served = 0
        self._lock = threading.Lock()
        self.delay_s = delay_s
        self.models = ["mqspn", "mqspn_regions", "mqspn_text"]
        self.server = grpc.server(
            futures.ThreadPoolExecutor(workers),
            options=[("grpc.max_receive_message_length", -1), ("grpc.so_reuseport", 0)],
        )
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(self, self.server)
        address = f"127.0.0.1:{port}"
        if credentials is None:
            self.port = self.server.add_insecure_port(address)
        else:
            self.port = self.server.add_secure_port(address, credentials)
        self.url = f"127.0.0.1:{self.port}"
        self.server.start()

    def stop(self) -> None:
        self.server.stop(0).wait()

    def ServerReady(self, request, context):  # noqa: N802
        return pb.ServerReadyResponse(ready=True)

    def ModelReady(self, request, context):  # noqa: N802
        return pb.ModelReadyResponse(ready=request.name in self.models)

    def ServerMetadata(self, request, context):  # noqa: N802
        return pb.ServerMetadataResponse(name="triton", version="2.51.0")

    def ModelMetadata(self, request, context):  # noqa: N802
        self._need_model(request.name, context)
        tensor = pb.ModelMetadataResponse.TensorMetadata
        return pb.ModelMetadataResponse(
            name=request.name,
            versions=["1"],
            inputs=[tensor(name="TEXT", datatype="BYTES"), tensor(name="IMAGE", datatype="BYTES")],
            outputs=[tensor(name="ENTITIES", datatype="BYTES")],
        )

    def ModelInfer(self, request, context):  # noqa: N802
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            behaviour = self.behaviours.pop(0) if self.behaviours else self.always
        try:
            return self._infer(request, context, behaviour)
        finally:
            with self._lock:
                self._at_once -= 1

    def _infer(self, request, context, behaviour):
        self._need_model(request.model_name, context)
        time.sleep(self.delay_s)
        tensors = {"model": request.model_name}
        for tensor, raw in zip(request.inputs, request.raw_input_contents, strict=True):
            if tensor.datatype == "BYTES":
                tensors[tensor.name] = deserialize_bytes_tensor(raw).reshape(list(tensor.shape))
            else:
                array = np.frombuffer(raw, np.float32)
                tensors[tensor.name] = array.reshape(list(tensor.shape))
        with self._lock:
            self.requests.append(tensors)
            self.headers.append(dict(context.invocation_metadata()))
        answers = None
        if behaviour is not None:
            try:
                answers = behaviour(tensors, context)
            except RefusalError as refusal:
                context.abort(refusal.code, refusal.details)
        if answers is None:
            answers = self._toy_answers(tensors, request.model_name, context)
        return _response(request.model_name, answers)

    def _toy_answers(self, tensors, model, context):
        count = len(tensors["TEXT"])
        regions = tensors.get("REGIONS", [None] * count)
        images = tensors.get("IMAGE", np.full((count, 1), b"", np.object_))
        answers = [
            toy_answer(tensors["TEXT"][i, 0], images[i, 0], regions[i]) for i in range(count)
        ]
        if count == 1 and "error" in answers[0]:
            error = answers[0]["error"]
            context.abort(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"in ensemble '{model}', {error['code']}: {error['message']}",
            )
        with self._lock:
            self._served += count
        return [json.dumps(answer).encode() for answer in answers]

    def ModelStatistics(self, request, context):  # noqa: N802
        """Each engine "takes" 2 ms and queues 1 ms a request, each Python step 1 ms; all 12 ms."""
        self.headers.append(dict(context.invocation_metadata()))
        names = [request.name] if request.name else ["mqspn", *STEPS]
        statistics = []
        for name in names:
            compute_ms = 2 if name in ENGINES else 1
            duration = pb.StatisticDuration
            count = self._served
            statistics.append(
                pb.ModelStatistics(
                    name=name,
                    version="1",
                    inference_count=count,
                    execution_count=count,
                    inference_stats=pb.InferStatistics(
                        success=duration(count=count, ns=count * 12_000_000),
                        queue=duration(count=count, ns=count * 1_000_000),
                        compute_infer=duration(count=count, ns=count * compute_ms * 1_000_000),
                    ),
                )
            )
        return pb.ModelStatisticsResponse(model_stats=statistics)

    def _need_model(self, name, context):
        if name not in self.models:
            context.abort(
                grpc.StatusCode.NOT_FOUND, f"Request for unknown model: '{name}' is not found"
            )


def _response(model: str, answers: list[bytes]):
    column = np.array(answers, dtype=object).reshape(-1, 1)
    tensor = pb.ModelInferResponse.InferOutputTensor(
        name="ENTITIES", datatype="BYTES", shape=list(column.shape)
    )
    raw = serialize_byte_tensor(column)
    return pb.ModelInferResponse(
        model_name=model,
        model_version="1",
        outputs=[tensor],
        raw_output_contents=[raw.item() if raw.size else b""],
    )


if __name__ == "__main__":
    serving = KServeServer(int(sys.argv[1]), delay_s=0.01)
    print(serving.url, flush=True)
    sys.stdin.read()
    serving.stop()
