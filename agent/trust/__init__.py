"""
What a meter believes: which algorithms are the DSO's own, and how one gets onto its card.

A fetch's way: `fetching` keeps what is believed and starts `verifier`, a short-lived process which alone loads TUF; it
downloads through `fetcher` and judges by `decisions` (pure: time, floors). What it found right is judged once more as a
package and put in place by `staging`. Nothing here starts an algorithm.
"""
