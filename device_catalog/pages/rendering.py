"""
Makes pages of templates and their values, and the headers that go with every page.

Templates are escaped whole (autoescape), and a name that a template expects and nobody gives is an error. The content
security policy lets nothing run and nothing be fetched; the one style sheet stands in the page, known by its hash.
"""

import base64
import hashlib
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from litestar import Response
from markupsafe import Markup

from device_catalog.pages.words import clock


class Renderer:
    """Makes pages."""

    def __init__(self) -> None:
        self._templates = Environment(
            loader=PackageLoader("device_catalog.pages"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters["clock"] = clock
        text = (files("device_catalog.pages") / "templates" / "style.css").read_text(encoding="utf-8")
        self._style = Markup(text)  # noqa: S704 - a file of ours
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        self._headers = {
            "Content-Security-Policy": (
                f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; base-uri 'none'; "
                "frame-ancestors 'none'"
            ),
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Referrer-Policy": "same-origin",
            "Cache-Control": "no-store",
        }

    def page(self, template: str, values: dict[str, Any], status: int = 200) -> Response[bytes]:
        """Make a page."""
        text = self._templates.get_template(template).render(style=self._style, **values)
        return Response(text.encode(), status_code=status, headers=dict(self._headers), media_type="text/html")
