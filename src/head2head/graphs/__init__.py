"""Layers of BERT while they train on a GPU: without padding, and recorded for few sizes of batch as CUDA graphs."""
