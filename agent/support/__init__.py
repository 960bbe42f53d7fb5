"""
Help for a meter from afar: what may be told of it, in one file or line by line, and nothing secret in either.

`scrubbing` takes secrets out of lines, `redaction` lets only known settings through; `kept_log` and `health` are what a
meter remembers of itself; `gathering` collects, `bundle` packs; `desk` does what the catalog asks for.
"""
