"""
The vocabulary that a meter, its algorithms and their authors share.

Each notion has one address; nothing is imported here, so that a process pays only for what it uses
(the agent reads `records` and `wire` without ever loading numpy):

- `samples`: what a waveform source delivers, `SampleBlock`.
- `records`: what algorithms make, `MeasurementFrame`, `Event`, `GridState`, ...
- `network`: the electrical network an algorithm works on, `NetworkModel`.
- `algorithm`: what every algorithm is, `Algorithm` and `AlgorithmInfo`.
- `settings`: how an algorithm declares its settings and reads them, all problems at once.
- `manifest`: what an algorithm's package says of itself.
- `wire`: how records are written in JSON.
- `errors`: what can go wrong.
- `conformance`: the test that every algorithm passes, built in or foreign.
"""
