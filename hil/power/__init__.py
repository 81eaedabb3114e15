"""Power cuts: a scenario is run once on a flash that is recorded, and restarted at every cut."""
