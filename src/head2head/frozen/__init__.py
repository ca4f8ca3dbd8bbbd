"""Frozen encoders: they run once over a task, and every head, seed and learning rate reads what they gave out."""
