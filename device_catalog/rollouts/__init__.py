"""
Rollouts: which device gets which version when, what came of it, and what becomes of the rollout.

Pure are `plan` (who is next), `judgement` (what a device's report means), `progress` (when a stage is over),
`comparison` (what shadows came to) and `overlay` (what a choice makes of a configuration). `ticking` carries rollouts
on, by a `looking` at each and `telling` its devices; `orders` and `questions` serve operators, `releases` knows what is
signed.
"""
