"""The device catalog: what every device should do, what it does, and who is there."""
