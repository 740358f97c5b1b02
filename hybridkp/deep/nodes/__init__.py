"""What a runtime file's ``deep.*`` nodes compute, one module a kind; NumPy and cv2 alone."""
