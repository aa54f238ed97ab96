"""Pages from templates: HTML, complete in itself."""

from __future__ import annotations

from typing import Any


def rendered(package: str, template: str, **values: Any) -> str:
    """A template of a package's folder with its values; text is escaped, and a value that is missing is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader(package, "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template(template).render(**values)
