"""
Backups of a catalog: everything that cannot be made again, in one archive.

`archive` writes and reads the file, `databases` copies SQLite and PostgreSQL, `counters` makes sure that what a meter
has seen is never told again with another content, `command` is what an administrator types.
"""
