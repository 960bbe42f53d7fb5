"""
What the data broker carries, kept: frames, states, energy, quality, events and results, with their one-minute means.

A process of its own (``tresma-catalog history``) writes, so that its load never slows a poll; the catalog reads.

The way in: `listener` hears messages, `arrival` judges each, `keeper` writes them in batches to `store`; once a
stretch of time has settled, `stretches` packs it (`codec`) and sums it up (`rollups`), and `room` drops what is old or
has no room. The way out: `questions` answers what the REST interface asks, `export` writes tables, and `sink` hands
everything on in the line protocol of InfluxDB.
"""
