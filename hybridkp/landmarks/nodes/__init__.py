"""What a runtime file's ``landmarks.*`` nodes compute, one module a kind; NumPy and cv2 alone."""
