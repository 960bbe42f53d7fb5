"""Sampler, algorithms and the fork server they come from, each seen from both ends, and the ring between them."""
