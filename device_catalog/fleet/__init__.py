"""
The fleet: which devices there are, what each shall do, who is there and who fell silent.

`register` is the list that everybody shares and `fleet` its live half in memory, a `device` each, judged by the pure
rules of `domain` and the clocks of `leases`; `signs_of_life` hears the devices. `changes` and `questions` are what
callers may do and ask; `desired` builds a device's document, which `director` signs and `entity_tags` names.
"""
