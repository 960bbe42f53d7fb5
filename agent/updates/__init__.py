"""
Versions of algorithms: how another one comes, proves itself beside the one in force, and takes over or is given up.

An update's way: `updates` sees that a document asks for another version; `fetches` has it downloaded, verified and put
in place by a short-lived process (`fetch_process`, over `agent.trust`); `trial` starts it beside the one in force, on
the same records, and decides by `turn` (pure: who of two is told) and `probation` (pure: whether it makes what the one
before made). What is in force, what was before, what is on probation and what failed stands in `journal`, on the card.
`shadow` runs a version beside the one in force for `comparison` (pure) only. `places` knows what is on the card.

The image that the meter itself runs from comes in the same spirit, as far as a restart allows: `images` brings it
about with `image_fetches` (two more short-lived processes) and `image_journal`, `image_trial` judges it by
`image_health` (pure); what only root may do a helper does that believes nothing (`slots`).
"""
