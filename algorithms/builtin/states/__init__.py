"""
The state of an area each interval: collecting, forecasting, estimating, publishing; three levels.

Begin with `concentrator_state`, the lowest of the three plug-ins, then `area_state`, which it shares with `lv_state`
and `mv_state`: records become readings in `state_metering`, an interval's readings come together in `state_collector`,
`area_estimator` estimates from them, and `state_results` writes the `GridState`. The mathematics is in
`algorithms.grid.estimation`.
"""
