"""Predictions of a finished run: what is read, what is computed, and the forms in which it is written."""
