"""What a benchmark runs at a board's prompt."""
