"""Where a fault is: what a resistance between conductors explains at the head and at sparse meters."""
