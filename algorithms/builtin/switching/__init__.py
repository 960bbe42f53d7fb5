"""
Switches: proposals, sequences under a lease, and the switch that carries out orders.

Begin with two plug-ins. `switch` obeys: it shows what an order must have to be carried out. `reconfiguration` gives
orders; it brings records to its two halves and their results out, and decides nothing itself:

- `fault_handling` restores service, phase after phase in the order of `handling_step.Phase`: `protection_wait`,
  `dead_proof`, `restoration_plan`, `plan_run`, `restoration_end`; what may go wrong meanwhile has a room each.
- `loss_watch` moves open points where that saves losses: `exchange_pairs` what moves, `exchange_run` how.

Both know the switches by `switch_board`, give orders by `switching_sequence`, and hold the right to by `lease_keeping`.
Which positions would serve best is computed in `algorithms.grid.switching`.
"""
