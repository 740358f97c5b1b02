"""What a runtime file's ``landmarks.*`` nodes are in an ONNX graph, one module a kind; for exporting only."""
