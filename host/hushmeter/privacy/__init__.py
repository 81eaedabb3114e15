"""Noise laws, accounting and checks of what an observer can see."""
