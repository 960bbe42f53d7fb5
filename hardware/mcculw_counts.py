"""From the Universal Library's wrapping count of samples to a count of scans that only grows; pure."""

BACKWARDS = 1 << 16
"""By how many samples a count may seem to have gone back, for what it forgets when it wraps."""


def unwrapped(before: int, count: int, index: int, *, n_channels: int, ring: int) -> int:
    """
    Make the library's count and index a number of scans that only grows.

    Parameters
    ----------
    before : int
        Scans, as found the last time.
    count : int
        Samples, as the library says: signed, of 32 bits, and off by one after each wrap where it is counted as its
        manual says.
    index : int
        Where the last complete scan begins in the buffer; -1 before the first.
    n_channels : int
    ring : int
        Scans in the buffer.

    Returns
    -------
    int
        Scans completed since the start.

    Examples
    --------
    A day and a half at 19.2 kS/s: the count has wrapped, the index tells the scan exactly.

    >>> unwrapped(360_000_000, -2_134_967_272, 3 * 6, n_channels=6, ring=6400)
    360000004
    """
    if index < 0 or not (before or count):  # some boards say 0 before the first scan
        return before
    turn = 1 << 32
    # About where the writer is: the count taken modulo its 32 bits, from what is known.
    near = before * n_channels + (count - before * n_channels + BACKWARDS) % turn - BACKWARDS
    place = index // n_channels + 1  # scans completed, modulo the ring
    about = near // n_channels
    scans = about + (place - about + ring // 2) % ring - ring // 2
    return max(before, scans)
