"""What a benchmark runs on a meter's interpreter, or on both."""
