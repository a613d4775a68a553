"""What `mqspn compile` lets one choose, without the libraries that do it: help starts fast."""

from __future__ import annotations

from typing import Literal

__all__ = ["EngineGraph", "Flavour", "LowPrecision", "Precision"]

#: "tensorrt" for Triton, on its GPU; "tensorrt-rtx" for RTX cards, compiled on any machine.
Flavour = Literal["tensorrt", "tensorrt-rtx"]
Precision = Literal["fp32", "fp16", "bf16", "int8"]
#: Those whose layers `mqspn sensitivity` measures one by one.
LowPrecision = Literal["fp16", "bf16"]
#: `mqspn_backend.tensors.ENGINES`.
EngineGraph = Literal["text_encoder", "region_proposer", "region_encoder", "query_decoder"]
