"""State estimation: from what meters read and what was expected to the state of a network, and how sure that is."""
