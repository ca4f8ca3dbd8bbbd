"""Fine-tune BERT encoders with swappable heads, and compare the heads fairly."""
