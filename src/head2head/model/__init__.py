"""Encoder, heads, and what trains them."""
