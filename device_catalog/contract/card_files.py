"""
Reads and writes the files on a memory card, and finds everything wrong with them at once, in an installer's words.

`read_card` and `read_network` take a file's bytes; `problems` judges the whole folder; `card_rules` knows what fields
may say. What is secret is never repeated, not even where it is wrong. Pure.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec
import yaml

from algorithms.api.errors import Problem, shortened
from device_catalog.contract.card import (
    AUTHORITIES,
    CARD,
    MAXIMUM_AUTHORITIES,
    MAXIMUM_FILE,
    NETWORK,
    SECRETS,
    Card,
    NetworkSettings,
)
from device_catalog.contract.card_rules import problems_of_card, problems_of_network
from device_catalog.contract.rules import Problems
from device_catalog.contract.shape import comply
from device_catalog.contract.validation import DocumentError

Document = TypeVar("Document", Card, NetworkSettings)


def read_card(content: bytes) -> Card:
    r"""
    Read ``card.yaml``.

    Raises
    ------
    DocumentError
        With every problem found.

    Examples
    --------
    >>> read_card(b"schema: card/1\ndevice: m-1\ncatalog: https://catalog.example.org").host
    'tresma-m-1'
    """
    return _read(Card, content, CARD, problems_of_card)


def read_network(content: bytes) -> NetworkSettings:
    """
    Read ``network.yaml``.

    Raises
    ------
    DocumentError
        With every problem found.
    """
    return _read(NetworkSettings, content, NETWORK, problems_of_network)


def problems(files: Mapping[str, bytes], *, with_token: bool = False) -> list[Problem]:
    """
    Find everything wrong with the files of a card's folder.

    Parameters
    ----------
    files : mapping of str to bytes
        By name; others than the three are left alone.
    with_token : bool
        Whether a token must be there: for a card that is to let a meter in.

    Returns
    -------
    list of Problem
        Empty for files that a meter can use.
    """
    found: list[Problem] = []
    if CARD not in files:
        found.append(Problem(CARD, "who this meter is", "no such file", "`tresma flash` writes it"))
    else:
        try:
            card = read_card(files[CARD])
            if with_token and not card.token:
                found.append(Problem(f"{CARD}: token", "a token", "nothing", "`tresma devices enrol` gives one"))
        except DocumentError as error:
            found += error.problems
    if NETWORK in files:
        try:
            read_network(files[NETWORK])
        except DocumentError as error:
            found += error.problems
    if AUTHORITIES in files:
        found += problems_of_authorities(files[AUTHORITIES])
    return found


def problems_of_authorities(content: bytes) -> list[Problem]:
    """Find what is wrong with the file of authorities, as far as that can be told without reading certificates."""
    rules = Problems()
    short = rules.expect(
        len(content) <= MAXIMUM_AUTHORITIES,
        AUTHORITIES,
        f"at most {MAXIMUM_AUTHORITIES} bytes",
        f"{len(content)} bytes",
    )
    private = b"PRIVATE KEY" in content
    rules.expect(not private, AUTHORITIES, "certificates only", "a private key", "take it off this card at once")
    if short and not private:
        begins, ends = content.count(b"-----BEGIN CERTIFICATE-----"), content.count(b"-----END CERTIFICATE-----")
        rules.expect(0 < begins == ends, AUTHORITIES, "certificates (PEM)", "something else")
    return rules.found


def write(document: Card | NetworkSettings) -> bytes:
    """
    Write a file as `read_card` and `read_network` read it; what is as it is by default is left out.

    >>> read_card(write(Card("m-1", "https://c"))) == Card("m-1", "https://c")
    True
    """
    fields = msgspec.to_builtins(document)
    plain = {key: value for key, value in fields.items() if key == "schema" or value != _default(document, key)}
    text: str = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
    return text.encode()


def _default(document: msgspec.Struct, key: str) -> Any:
    for field in msgspec.structs.fields(document):
        if field.name == key and not field.required:
            return msgspec.to_builtins(field.default)
    return msgspec.UNSET


# ---- reading


class _Loader(yaml.SafeLoader):
    """YAML without what a file of a few lines never needs: names given twice, and references."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        names = [str(getattr(key, "value", "")) for key, _ in node.value]
        for name in names:
            if names.count(name) > 1:
                raise _TwiceError(name)
        return super().construct_mapping(node, deep)


class _TwiceError(ValueError):
    """A name is given twice."""


def _read(kind: type[Document], content: bytes, file: str, judge: Callable[[Document, str], list[Problem]]) -> Document:
    document, differences = comply(kind, _fields(content, file), file)
    found = [_without_secret(problem, file) for problem in differences]
    named = [problem.where for problem in found]
    if document is not None:
        found += [one for one in judge(document, file) if not any(_is_within(one.where, path) for path in named)]
    if found or document is None:
        raise DocumentError(_in_words(problem, file) for problem in found)
    return document


def _is_within(where: str, path: str) -> bool:
    return where == path or where.startswith((f"{path}.", f"{path}["))


def _without_secret(problem: Problem, file: str) -> Problem:
    """Show nothing secret, and say what to do where a text was written as a number."""
    remedy = "put it in quotes" if problem.expected == "text" and not problem.remedy else problem.remedy
    is_secret = problem.where.removeprefix(f"{file}.") in SECRETS and problem.found != "nothing"
    return Problem(problem.where, problem.expected, "something else" if is_secret else problem.found, remedy)


def _in_words(problem: Problem, file: str) -> Problem:
    where = file if problem.where == file else f"{file}: {problem.where.removeprefix(f'{file}.')}"
    return Problem(where, problem.expected, problem.found or "nothing", problem.remedy)


def _fields(content: bytes, file: str) -> Mapping[str, Any]:
    if len(content) > MAXIMUM_FILE:
        raise DocumentError([Problem(file, f"at most {MAXIMUM_FILE} bytes", f"{len(content)} bytes")])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DocumentError([Problem(file, "a text", "another encoding", "save it as UTF-8")]) from None
    expected = "lines such as `device: m-0042`"
    try:
        fields = yaml.load(text, _Loader)  # noqa: S506 - a safe one
    except _TwiceError as error:
        raise DocumentError([Problem(file, "each name once", f"{shortened(str(error), 40)} twice")]) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)  # the error's own words would repeat the line, and with it a secret
        where = f"{file}: line {mark.line + 1}" if mark is not None else file
        remedy = "look for a missing quote, colon or blank, and use no tabs"
        raise DocumentError([Problem(where, expected, "something else", remedy)]) from None
    if not isinstance(fields, dict):
        found = "an empty file" if fields is None else "something else"
        raise DocumentError([Problem(file, expected, found)])
    return {str(name): value for name, value in fields.items()}
