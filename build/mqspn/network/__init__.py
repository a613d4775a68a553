"""The MQSPN network in PyTorch: its four parts, and the whole that joins them.

Axis letters: B posts, L subword tokens, Q queries, T entity types, K candidate regions, R = K + 1
with the null region at index 0, D width, S side of the model's square image.
"""

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
