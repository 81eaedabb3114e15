"""Runs before main.py on a board; nothing is needed here, and nothing may fail here."""
