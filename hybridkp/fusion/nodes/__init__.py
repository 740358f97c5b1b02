"""What a runtime file's ``fusion.*`` nodes compute, one module a kind; NumPy and cv2 alone."""
