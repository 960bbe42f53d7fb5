"""
The agent: it configures itself from the catalog, samples, runs algorithms and publishes what they find.

`processes` has what runs beside it, `delivery` what goes out and comes in, `recording` the event recorder, `c37118` an
output beside the brokers, `console` what a person types. Here is what joins them: `service` first, then `running`.
"""
