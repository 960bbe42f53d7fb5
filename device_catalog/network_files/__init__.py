"""
Network documents as files: taken over from other programs, summed up, drawn.

Where it stands: `device_catalog.operator` calls it for ``tresma network import|check|draw``; nothing here asks a
catalog. It knows `algorithms.api`, which says what a document is and what is wrong with one, and no solver.

- `summary`: what a document holds, and what is unusual about it.
"""
