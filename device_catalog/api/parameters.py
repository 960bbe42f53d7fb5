"""
What requests carry besides a body, in the same words everywhere: names in the path, a part of a list, an offset.

Where it stands: beside the handlers of several subjects (`recordings`, `support`, `faults`), which say what is named.
"""

from algorithms.api.errors import Problem, shortened
from device_catalog.api.callers import AnyRequest
from device_catalog.api.problems import HttpError
from device_catalog.contract.paths import OFFSET_HEADER
from device_catalog.contract.rules import IDENTIFIER
from device_catalog.contract.topics import is_identifier
from device_catalog.errors import Refused


def names_of(request: AnyRequest, first: str, second: str) -> tuple[str, str]:
    """
    Read two names in the path, which it calls `first` and `second`.

    Raises
    ------
    HttpError
    """
    names = str(request.path_params[first]), str(request.path_params[second])
    for name in names:
        if not is_identifier(name):
            raise HttpError(404, f"expected {IDENTIFIER}, found {shortened(name)}")
    return names


def offset_of(request: AnyRequest) -> int:
    """
    Read where a part of a file belongs [bytes].

    Raises
    ------
    HttpError
    """
    offset = request.headers.get(OFFSET_HEADER, "0")
    if not (offset.isascii() and offset.isdigit() and len(offset) < 16):
        raise HttpError(400, f"expected the header {OFFSET_HEADER} with a count of bytes, found {shortened(offset)}")
    return int(offset)


def part_of_list(request: AnyRequest, whose: str, most: int) -> tuple[str, str, int]:
    """
    Read which part of a list is asked for.

    Parameters
    ----------
    request : Request
    whose : str
        The parameter that names whose entries are listed, such as ``device``.
    most : int
        Entries of one part.

    Returns
    -------
    str
        Whose; empty for all.
    str
        The cursor; empty for the first part.
    int
        How many.

    Raises
    ------
    Refused
        With everything that is wrong with it.
    """
    query, known = dict(request.query_params), (whose, "cursor", "limit")
    problems = [
        Problem(f"query.{shortened(name, 40)}", ", ".join(known), "an unknown parameter", "remove it")
        for name in query
        if name not in known
    ]
    name, cursor, text = query.get(whose, ""), query.get("cursor", ""), query.get("limit", "100")
    limit = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
    if not 1 <= limit <= most:
        problems.append(Problem("query.limit", f"a number from 1 to {most}", shortened(text)))
    if name and not is_identifier(name):
        problems.append(Problem(f"query.{whose}", IDENTIFIER, shortened(name)))
    if problems:
        raise Refused(problems)
    return name, cursor, limit
