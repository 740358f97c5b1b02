"""What a runtime file's ``deep.*`` nodes are in an ONNX graph, one module a kind; for exporting only."""
