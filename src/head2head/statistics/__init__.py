"""What is computed from scores and predictions alone: variance, tests, the choice of settings. Knows no files."""
