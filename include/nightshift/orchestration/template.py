"""The files that the pages are made of: HTML with places for values, the style that all share, and their headers."""

from pathlib import Path
from string import Template

HTML = "text/html; charset=utf-8"
# A page of ours needs no script and nothing from elsewhere: what slipped into one can do nothing either.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "private, no-store",
}
# Those on which people give orders send forms to their own server. A browser names their origin by this policy.
FORM_HEADERS = {
    **HEADERS,
    "Content-Security-Policy": HEADERS["Content-Security-Policy"].replace("form-action 'none'", "form-action 'self'"),
    "Referrer-Policy": "same-origin",
}
_HERE = Path(__file__).parent


def filled(name: str, **values: str) -> str:
    """The page of a file beside this one, ``tonight.html``, with values in its places; they are HTML already."""
    template = Template((_HERE / name).read_text())
    return template.substitute(values, style=(_HERE / "page.css").read_text())
