"""What the network learns from: examples, the matching of queries to gold entities, the loss."""
