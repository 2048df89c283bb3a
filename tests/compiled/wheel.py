"""What is checked on the compiled wheel alone."""
