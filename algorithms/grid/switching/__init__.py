"""Which switches to move: open points with fewest losses, and service restored around a fault."""
