"""Training: tokenizer, examples, matching, loss, the stages and the run that chains them."""
