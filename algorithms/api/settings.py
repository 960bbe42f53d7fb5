"""
How an algorithm declares its settings, and how a settings document is read against the declaration.

A declaration (`Setting`) carries unit, range and default, so that the same lines validate what a catalog sends,
fill a form for an engineer and document the algorithm. A value in a document is either bare, in the declared unit,
or states its unit, which must then be the declared one; nothing is converted in silence::

    {"window": 4, "report_rate": {"value": 50, "unit": "Hz"}}
"""

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

import msgspec

from algorithms.api.errors import Problem, SettingsError, shortened

SettingType = Literal["number", "integer", "text", "boolean", "list", "object"]

_name = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_python_types: dict[SettingType, tuple[type, ...]] = {
    "number": (int, float),
    "integer": (int,),
    "text": (str,),
    "boolean": (bool,),
    "list": (list, tuple),
    "object": (dict,),
}


class Setting(msgspec.Struct, frozen=True):
    """
    One setting of an algorithm.

    Attributes
    ----------
    name : str
    type : str
        ``number``, ``integer``, ``text``, ``boolean``, ``list`` or ``object``.
    description : str
        One sentence for the engineer who sets it.
    unit : str
        SI unit such as ``Hz``; ``1`` or empty for a pure number.
    default : object
        Taken when the document is silent; `msgspec.UNSET` where the document must say it.
    minimum, maximum : float or None
        Inclusive bounds of a number, or of the length of a text or list.
    choices : tuple
        The only values allowed, if any.
    """

    name: str
    type: SettingType
    description: str
    unit: str = ""
    default: Any = msgspec.UNSET
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[Any, ...] = ()

    def expectation(self) -> str:
        """Say in words what a value must be."""
        if self.choices:
            words = "one of " + ", ".join(str(choice) for choice in self.choices)
        else:
            words = {"integer": "a whole number", "object": "a table"}.get(self.type, f"a {self.type}")
            lengthy = "" if self.type in ("number", "integer") else "length "
            if self.minimum is not None and self.maximum is not None:
                words += f" with {lengthy or 'value '}from {self.minimum:g} to {self.maximum:g}"
            elif self.minimum is not None:
                words += f" with {lengthy or 'value '}of at least {self.minimum:g}"
            elif self.maximum is not None:
                words += f" with {lengthy or 'value '}of at most {self.maximum:g}"
        return f"{words} [{self.unit}]" if self.unit else words


def problems_of(declared: Sequence[Setting], document: Mapping[str, Any], where: str = "settings") -> list[Problem]:
    """Find everything wrong with `document`; an empty list means that it can be read."""
    return _read(declared, document, where)[1]


def read_settings(declared: Sequence[Setting], document: Mapping[str, Any], where: str = "settings") -> dict[str, Any]:
    """
    Read `document` against its declaration, with defaults filled in.

    Raises
    ------
    SettingsError
        With every problem found.

    Examples
    --------
    >>> window = Setting("window", "number", "Length of the window.", unit="s", minimum=0.02, maximum=0.2)
    >>> read_settings([window], {"window": {"value": 0.06, "unit": "s"}})
    {'window': 0.06}
    >>> read_settings([window], {"window": {"value": 60, "unit": "ms"}})
    Traceback (most recent call last):
        ...
    algorithms.api.errors.SettingsError: settings.window: expected the unit s, found ms; state the value in s
    """
    values, problems = _read(declared, document, where)
    if problems:
        raise SettingsError(problems)
    return values


def problems_of_declaration(declared: Sequence[Setting], where: str = "settings") -> list[Problem]:
    """Find everything wrong with a declaration itself: names, bounds, defaults that it would refuse."""
    problems = []
    for setting in declared:
        path = f"{where}.{setting.name}"
        if not _name.fullmatch(setting.name):
            problems.append(Problem(path, "a name of letters, digits and _ (at most 64)", shortened(setting.name)))
        if setting.minimum is not None and setting.maximum is not None and not setting.minimum <= setting.maximum:
            found = f"{setting.minimum:g} and {setting.maximum:g}"
            problems.append(Problem(path, "a minimum no larger than the maximum", found))
        if setting.default is not msgspec.UNSET and setting.default is not None:
            problem = _value(setting, setting.default, f"{path}.default")[1]
            problems += [problem] if problem else []
    names = [setting.name for setting in declared]
    if len(set(names)) != len(names):
        problems.append(Problem(where, "each name once", shortened(names)))
    return problems


def _read(declared: Sequence[Setting], document: Mapping[str, Any], where: str) -> tuple[dict[str, Any], list[Problem]]:
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    by_name = {setting.name: setting for setting in declared}
    for name in document:
        if name not in by_name:
            near = difflib.get_close_matches(str(name)[:80], by_name, n=1)
            remedy = f"did you mean {near[0]}?" if near else "remove it"
            known = ", ".join(by_name) or "no settings at all"
            problems.append(Problem(f"{where}.{shortened(name, 40)}", known, "an unknown setting", remedy))
    for setting in declared:
        path = f"{where}.{setting.name}"
        if setting.name not in document:
            if setting.default is msgspec.UNSET:
                problems.append(Problem(path, setting.expectation(), "nothing", "state it"))
            else:
                values[setting.name] = setting.default
            continue
        value, problem = _value(setting, document[setting.name], path)
        if problem is None:
            values[setting.name] = value
        else:
            problems.append(problem)
    return values, problems


def _value(setting: Setting, found: Any, path: str) -> tuple[Any, Problem | None]:
    if setting.type != "object" and isinstance(found, dict) and set(found) == {"value", "unit"}:
        if found["unit"] != setting.unit:
            expected = f"the unit {setting.unit}" if setting.unit else "a value without unit"
            remedy = f"state the value in {setting.unit}" if setting.unit else "leave the unit out"
            return None, Problem(path, expected, shortened(found["unit"], 20), remedy)
        found = found["value"]
    wrong = Problem(path, setting.expectation(), shortened(found))
    truth_for_number = isinstance(found, bool) and setting.type != "boolean"
    if truth_for_number or not isinstance(found, _python_types[setting.type]):
        return None, wrong
    if setting.type == "number":
        found = _float(cast("float", found))
        if not math.isfinite(found):
            return None, wrong
    if setting.choices and found not in setting.choices:
        return None, wrong
    if setting.type in ("number", "integer"):
        measure = found
    else:
        measure = len(found) if isinstance(found, str | list | tuple) else None
    if measure is not None:
        too_small = setting.minimum is not None and measure < setting.minimum
        too_large = setting.maximum is not None and measure > setting.maximum
        if too_small or too_large:
            return None, wrong
    return found, None


def _float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:  # a whole number of more than 308 digits
        return math.inf
