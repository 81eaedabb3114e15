"""How many bits leak, with certificates, and the policies that leak least.

A solver returns its value between a lower and an upper bound that can be checked again without it.
Everything is in bits a step unless a name says nats.
"""
