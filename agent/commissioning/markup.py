"""HTML and SVG written so that no text can become markup: everything is escaped unless it was made here. Pure."""

from html import escape

VOID = frozenset({"br", "hr", "img", "input", "link", "meta", "line", "circle", "path", "polyline", "polygon", "rect"})
"""Elements without content."""


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def element(name: str, /, *children: str, **attributes: str | float | bool | None) -> Markup:
    """
    Write an element.

    Parameters
    ----------
    name : str
    *children : str
        Escaped, but for `Markup`.
    **attributes
        ``class_`` is written ``class``, ``aria_label`` ``aria-label``; None and False are left out, True is bare.

    Examples
    --------
    >>> element("p", "5 < 6", element("b", "!"), class_="soft", hidden=True, id=None)
    '<p class="soft" hidden>5 &lt; 6<b>!</b></p>'
    """
    words = [name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        word = key.rstrip("_").replace("_", "-")
        words.append(word if value is True else f'{word}="{escape(_written(value))}"')
    head = f"<{' '.join(words)}>"
    if name in VOID:
        return Markup(head.replace(">", "/>") if name not in _plain else head)
    return Markup(f"{head}{together(*children)}</{name}>")


def together(*parts: str) -> Markup:
    """Write parts one after the other, escaped but for `Markup`."""
    return Markup("".join(part if isinstance(part, Markup) else escape(part) for part in parts))


_plain = frozenset({"br", "hr", "img", "input", "link", "meta"})


def _written(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.6g}"
