"""The three training stages in their order: region proposer, region encoder, set prediction."""
