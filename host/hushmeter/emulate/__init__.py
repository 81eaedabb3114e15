"""Boards that are not there: processes of the unix port, and an emulated RP2040."""
