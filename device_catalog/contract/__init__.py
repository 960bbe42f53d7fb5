"""
What the catalog, the agents and third parties agree on; all that an agent may see of the catalog.

- `documents`: what a device should do (`Desired`). `reports`: what it says of itself.
- `register`: registering, finding devices, who changed what, and errors.
- `validation`: everything wrong with a document, found by both sides with the same rules (`configuration_rules`,
  written with `rules`).
- `shape`: how a document is compared with its type; used by `validation` only.
- `recordings`: what is said of a recorded event, everywhere in the same words.
- `presence`: what is said of a device's being there, by itself and by the catalog.
- `rollouts`, `rollout_progress`, `groups`: what an operator asks for all at once, and how far it has come.
- `topics`: where on the two brokers things are said.
- `paths`: the REST addresses and headers.
"""
