r"""
Taking secrets out of text that was written for people: lines of logs, last words, sentences. Pure.

Where it stands: every line the agent says passes through it, and everything in a support bundle once more. Two nets:
what is known to be a secret of this device is taken out wherever it stands; beyond that whatever looks like one goes:
blocks of PEM, what follows ``Bearer``, user names and passwords in addresses, values after words such as ``password``
(also in JSON inside of JSON, and as a program's option), what a modem is told of a SIM card's PIN, and long words
without a meaning. Of digests the first eight digits stay, by which a person tells them apart.
"""

import re
from collections.abc import Iterable

LEFT_OUT = "(left out)"
"""What stands in a secret's place."""

SHORTEST = 6
"""A known secret shorter than this is not looked for: it would take words apart."""

_pem = re.compile(r"-----BEGIN [A-Z0-9 ]{1,40}-----.*?(?:-----END [A-Z0-9 ]{1,40}-----|\Z)", re.DOTALL)
_scheme = re.compile(r"\b(bearer|basic|digest)(\s+)(?=[A-Za-z0-9._~+/=-]{6})[A-Za-z0-9._~+/=-]+", re.IGNORECASE)
_userinfo = re.compile(r"""(?<=://)[^\s"'<>]{0,300}@""")
_login = re.compile(r"""(?<![\w.+%/@-])[\w.+%-]{1,64}:[^\s"'<>@]{1,200}@(?=[A-Za-z0-9\[])""")
_told_modem = re.compile(r"(\bAT\+(?:CPIN|CPIN2|CLCK|CPWD|CGAUTH)\s*=)[^\r\n]{1,300}", re.IGNORECASE)
_names = r"""
    (?: pass(?:word|wd|phrase|code)? | pwd | psk | secret | credentials? | tokens? | pin | puk
      | api[_-]?keys? | (?:private|secret|command|shared|access)[_-]?keys? | cookie | authorization )
"""
_values = r"""
    (?P<value>
        "(?:[^"\\]|\\.){0,2000}" | '(?:[^'\\]|\\.){0,2000}'
      | (?P<escape>\\+) (?P<quote>["']) [^\n]{0,2000}? (?<!\\) (?P=escape) (?P=quote)
      | \\* ["'] [^\n]{0,2000} (?=\n|\Z)
      | [^\s,;&}\])]{1,2000} )
"""
_named = re.compile(
    rf"""(?ix)
    (?P<name> (?<![a-z0-9]) (?:[\w.]{{0,40}}[_.-])? {_names} )
    (?P<join> \\* ["']? \s* [:=] \s* )
    {_values}
    """
)
_option = re.compile(
    rf"""(?ix)
    (?P<name> (?<![\w-]) --? (?:[\w.-]{{0,40}}[_.-])? {_names} )
    (?P<join> (?: \s+ | ["'] \s* , \s* ) )
    (?! - )
    {_values}
    """
)
_hexadecimal = re.compile(r"\b[0-9a-fA-F]{32,}\b")
_word = re.compile(r"[A-Za-z0-9+/=_-]{24,}")
_harmless = re.compile(r"expected|none|nothing|null|true|false|-?\d{1,3}|\(left", re.IGNORECASE)


class Scrubber:
    """
    Takes secrets out of texts.

    Parameters
    ----------
    secrets : iterable of str
        Those that are known.

    Examples
    --------
    >>> clean = Scrubber(["hunter2!"]).text
    >>> clean("hunter2! at mqtts://me:hunter3@broker:8883, password = 'x y'")
    '(left out) at mqtts://(left out)@broker:8883, password = (left out)'
    >>> clean("v1/default/meters/m-0042/frames at /var/lib/tresma/outbox.db")
    'v1/default/meters/m-0042/frames at /var/lib/tresma/outbox.db'
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known = sorted({secret for secret in secrets if len(secret) >= SHORTEST}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def text(self, text: str) -> str:
        """Return `text` without what is, or looks like, a secret."""
        if self._known is not None:
            text = self._known.sub(LEFT_OUT, text)
        text = _pem.sub(LEFT_OUT, text)
        text = _scheme.sub(rf"\1\2{LEFT_OUT}", text)
        text = _userinfo.sub(f"{LEFT_OUT}@", text)
        text = _login.sub(f"{LEFT_OUT}@", text)
        text = _told_modem.sub(rf"\1{LEFT_OUT}", text)
        text = _named.sub(_without_value, text)
        text = _option.sub(_without_value, text)
        text = _hexadecimal.sub(lambda found: f"{found[0][:8]}...", text)
        return _word.sub(_without_riddle, text)


def _without_value(found: "re.Match[str]") -> str:
    name, value = found["name"].lower(), found["value"]
    counted = value.isdigit() and name.endswith(("token", "tokens"))  # leases are counted by tokens
    of_digits = value.isdigit() and not counted  # a PIN, or a pass word that somebody made of digits
    if counted or (_harmless.fullmatch(value) and not of_digits):
        return found[0]
    return f"{found['name']}{found['join']}{LEFT_OUT}"


def _without_riddle(found: "re.Match[str]") -> str:
    """Leave a word that means something, such as a path or a topic, and take out what only a machine can mean."""
    word = found[0]
    upper, lower, digits = (sum(map(kind, word)) for kind in (str.isupper, str.islower, str.isdigit))
    least = 4 if "/" in word else 2
    mixed = min(upper, lower, digits) >= least
    plain = len(word) >= 32 and digits >= 4 and not set(word) & set("/_-") and max(upper, lower) >= 4
    return LEFT_OUT if mixed or plain else word
