"""BERT's layers on a CPU, with what lies between their matrix products compiled for the machine at hand."""
