"""What stops a file from being taken over or drawn: each message says what was expected, found, and what to do."""


class NetworkFileError(Exception):
    """A file cannot be read as what it should be, or what reads or draws it is not installed."""
