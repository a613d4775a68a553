"""Why Triton's response cache is not used: it keeps what failed. A release may mend it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton
from mqspn.serving import ServerSettings, TritonServer
from tritonclient.utils import InferenceServerException

FAILS_ONCE = """
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    failed = False

    def execute(self, requests):
        x = pb_utils.get_input_tensor_by_name(requests[0], "X").as_numpy()
        if not self.failed:
            self.failed = True
            error = pb_utils.TritonError("out of memory")
            return [pb_utils.InferenceResponse(error=error)]
        return [pb_utils.InferenceResponse(output_tensors=[pb_utils.Tensor("Y", x)])]
"""


@pytest.mark.slow
def test_an_error_is_kept_as_an_answer_without_outputs(
    echo_repository: Path, settings: Callable[..., ServerSettings]
) -> None:
    with (echo_repository / "echo" / "config.pbtxt").open("a") as config:
        config.write("response_cache { enable: true }\ndynamic_batching { }\n")
    (echo_repository / "echo" / "1" / "model.py").write_text(FAILS_ONCE)
    chosen = settings(echo_repository, extra_args=("--cache-config=local,size=1048576",))
    with TritonServer(chosen) as server, triton.InferenceServerClient(server.url) as client:

        def outputs(number: int) -> list[str]:
            x = triton.InferInput("X", [1, 1], "INT32")
            x.set_data_from_numpy(np.array([[number]], np.int32))
            return [o.name for o in client.infer("echo", [x]).get_response().outputs]

        with pytest.raises(InferenceServerException, match="out of memory"):
            outputs(1)
        assert outputs(2) == ["Y"]
        assert outputs(1) == []
