"""head2head's Hydra plugin."""
