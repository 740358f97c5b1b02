"""What finders are in an ONNX graph, one module a kind; for exporting only."""
