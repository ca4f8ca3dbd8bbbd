"""Data: readers that turn every source into one shape, tokenization, batching."""
