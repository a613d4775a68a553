"""The training loop of every stage: batches, steps, epochs, AdamW, processes, logs."""
