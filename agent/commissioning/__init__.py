"""
Commissioning: the page that a meter serves while an installer stands before it, and the record of it.

Begins at `commission` (the page's own process); `desk` is the agent's side.
"""
