"""What a runtime file's ``fusion.*`` nodes are in an ONNX graph, one module a kind; for exporting only."""
