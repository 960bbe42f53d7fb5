"""
What a meter believes, and whom: algorithms, settings and orders from elsewhere, within what the DSO signed.

An algorithm's way: `fetching` keeps what is believed and starts `verifier`, a short-lived process which alone loads
TUF; it downloads through `fetcher` and judges by `decisions` (pure: time, floors). What it found right is judged once
more as a package and put in place by `staging`. Nothing here starts an algorithm.

The policy comes the same way: `policy_keeper` has it fetched, keeps it and replaces it. By it `in_force` judges
settings before they are read and orders before they are obeyed, with the rules of `judgement` (pure), the memory of
`orders` and the cryptography of `signing`, which also signs this device's own orders. `authorities` says which
certificate authorities a connection may believe.
"""
