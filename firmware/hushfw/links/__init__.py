"""How bytes leave the board."""
