"""
The vocabulary that a meter, its algorithms and their authors share.

Each notion has one address; nothing is imported here, so that a process pays only for what it uses
(the agent reads `records` and `wire` without ever loading numpy):

- `samples`: what a waveform source delivers, `SampleBlock`.
- `records`: what algorithms make, `MeasurementFrame`, `Event`, ...; of a whole network in `grid_records`.
- `readings`: the rows records are made of, a value beside its uncertainty.
- `network`: the electrical network an algorithm works on, `NetworkModel`; its arrays in `network_tables`.
- `network_document`: how a network is written in JSON, of `network_equipment` and `network_operation`.
- `network_problems`: everything wrong with one (`network_schema`: its form, `network_quantities`: its numbers).
- `network_reader`: from a right one to the model.
- `network_area`: the part of a document that one agent needs (`network_supply`: which nodes, `network_equivalent`: what
  stands for the rest);
  `network_states`: switch states judged; `network_connections`: what joins nodes.
- `algorithm`: what every algorithm is, `Algorithm` and `AlgorithmInfo`.
- `settings`: how an algorithm declares its settings and reads them, all problems at once.
- `manifest`: what an algorithm's package says of itself.
- `forms`: plain objects read as structs, all problems at once.
- `wire`: how records are written in JSON.
- `errors`: what can go wrong.
- `conformance`: the test that every algorithm passes, built in or foreign; what comes out is a `conformance_report`.
"""
