"""Public-key cryptography that a home's computer or the utility does, beside what meters do."""
