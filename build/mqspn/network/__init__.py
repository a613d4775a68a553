"""MQSPN in PyTorch; B posts, L tokens, Q queries, T types, K regions, R = K + 1, D width."""

from mqspn.network.model import Mqspn
from mqspn.network.query_decoder import QueryDecoder, SetPrediction
from mqspn.network.region_encoder import RegionEncoder
from mqspn.network.region_proposer import RegionProposer
from mqspn.network.text_encoder import TextEncoder

__all__ = [
    "Mqspn",
    "QueryDecoder",
    "RegionEncoder",
    "RegionProposer",
    "SetPrediction",
    "TextEncoder",
]
