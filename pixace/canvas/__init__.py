"""What gradient descent changes instead of a picture: its pixels, or something that makes them easier to find."""
