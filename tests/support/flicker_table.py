"""
Rectangular changes of voltage with Pst = 1 (IEC 61000-4-15:2010, table 5): changes per minute, relative change [%].

The rows for 120 V are believed, not checked against the standard; they agree with those of 230 V through the two lamps'
weightings.
"""

CHANGES = {
    "230V": {1: 2.715, 2: 2.191, 7: 1.450, 39: 0.894, 110: 0.722, 1620: 0.407, 4000: 2.343},
    "120V": {1: 3.181, 2: 2.564, 7: 1.694, 39: 1.040, 110: 0.844, 1620: 0.548, 4800: 4.837},
}
