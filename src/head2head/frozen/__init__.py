"""Frozen encoders: what is frozen runs once over a task; every head, seed and learning rate reads what it gave out."""
