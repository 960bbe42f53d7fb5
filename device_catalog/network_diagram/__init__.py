"""
One-line diagrams of network documents: drawn for people in the field, reused to show faults, switching and voltages.

Where it stands: ``tresma network draw`` calls `diagram.draw`; pages and reports can, too. It knows `algorithms.api` and
`network_files.reach`.

- `overlay`: what is shown upon a network: colours of nodes and lines, marks at a distance, a caption.
- `layout`: where everything goes: `layout_tree` (radial, from the top down) or `layout_map` (where it is).
- `symbols`: transformers, switches, loads, generators, meters, sources.
- `labels`: names that do not overlap.
- `diagram`: puts all of this on a `canvas.Canvas`, by way of a `picture.Picture` and, in this order, `conductors`,
  `attachments`, `marks`, `names` and `legend`.
- `svg`, `raster`: a canvas as SVG (no library needed) or as PNG and PDF (matplotlib).
"""
