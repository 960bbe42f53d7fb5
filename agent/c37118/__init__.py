"""Phasors for concentrators beside the meter, as IEEE C37.118.2 has them."""
