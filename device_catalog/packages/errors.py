"""
What stops work on keys and on the signed repository.

::

    RepositoryError     keys, a repository's files, or what is asked of them
"""


class RepositoryError(Exception):
    """A key or a repository cannot be used as asked: what was expected, what was found, what to do."""
