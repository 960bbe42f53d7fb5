"""Faults on the feeder: noticed in samples, located with the answers of other meters."""
