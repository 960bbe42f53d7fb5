"""How the history's tables came to their shape."""
