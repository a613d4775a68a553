"""The precision of each engine where one is asked for, and why INT8 is not for all of them."""

from __future__ import annotations

__all__ = ["NOT_QUANTISED", "engine_precision"]

#: Graphs that `--precision int8` leaves as they are in FP16, with what quantising each one costs on
#: synthetic posts (docs/experiments/int8.md); 0.2 points of F1 are allowed.
NOT_QUANTISED: dict[str, str] = {
    "region_proposer": "other boxes are chosen: EEG and GMNER lose 0.31 points",
    "region_encoder": "with the text encoder, GMNER loses 0.03 to 0.24 points, by set",
    "query_decoder": "other regions are pointed at: EEG loses 0.27 points",
}


def engine_precision(model: str, precision: str) -> str:
    """What engine ``model`` is in where ``precision`` is asked for: INT8 is FP16 for most."""
    return "fp16" if precision == "int8" and model in NOT_QUANTISED else precision
