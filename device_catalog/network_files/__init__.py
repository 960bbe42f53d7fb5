"""
Network documents as files: taken over from other programs, summed up, compared, written.

Where it stands: `device_catalog.operator` calls it for ``tresma network import|check``; nothing here asks a catalog.
It knows `algorithms.api`, which says what a document is and what is wrong with one; `comparison` alone solves.

- `imported`: what an importer hands over: a document, and remarks on what it has not.
- `pandapower_import`, with `frames`, `pandapower_lines`, `pandapower_injections`, `pandapower_positions`,
  `pandapower_solution` and `earth`.
- `opendss_import`, with `opendss_engine`, `opendss_lines`, `opendss_switches`, `opendss_transformers` and
  `opendss_injections`.
- `areas`: areas and meters for a document that has none.
- `comparison`: the document's voltages beside those of the program it came from.
- `summary`: what a document holds, with `unusual`: what is unusual about it.
- `reach`: what hangs together.
- `writing`: a document as a file.
"""
