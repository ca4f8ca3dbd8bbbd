"""A finished run in the forms that other libraries load: transformers, sentence-transformers, ONNX."""
