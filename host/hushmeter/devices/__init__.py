"""Boards: what they are, and what is done to them."""
