"""
The grid as the catalog knows it: networks, the states of their switches, faults and recordings.

`networks` keeps models and topologies and tells who is affected by a new one, with `parts` cut out for each area;
`switching_leases` sees to it that one agent at a time switches a network; `faults`, heard by `fault_listener`, are
kept with the `recordings` that belong to them.
"""
