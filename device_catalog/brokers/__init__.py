"""
The brokers as the catalog sees them: what it tells on them, and who else may use which topic.

`publisher` keeps a `connection` and says retained `words`, in whichever of `protocols` the broker knows; `rights` is
every client's list of topics, `files` keeps a broker's access list by it, `command` prints one.
"""
