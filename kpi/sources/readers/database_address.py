"""Where a database is, as written under ``[tables.<name>.database]``: checked before anything is opened, and never with a password in it."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from urllib.parse import unquote, urlsplit

from kpi.errors import DataError

POSTGRESQL, SQLITE, DUCKDB = "postgresql", "sqlite", "duckdb"
SCHEMES = {"postgresql": POSTGRESQL, "postgres": POSTGRESQL, "sqlite": SQLITE, "duckdb": DUCKDB}
# After the scheme a colon and, somewhere later, an at sign; or a parameter of that name. A port alone has no at sign behind it.
_PASSWORD = re.compile(r"://[^/]*:.*@|://.*[?&]\w*password=", re.IGNORECASE | re.DOTALL)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Database:
    """A table or a query of a database."""

    url: str
    table: str = ""
    query: str = ""
    password_env: str = ""

    @property
    def kind(self) -> str:
        """Which of the three it is."""
        return SCHEMES[urlsplit(self.url).scheme]

    @property
    def file(self) -> str:
        """Path of the file; empty for a server."""
        return "" if self.kind == POSTGRESQL else unquote(urlsplit(self.url).path.removeprefix("/"))

    def label(self, canonical: str) -> str:
        """Name it in lists; a server's host and user stay out of what is published."""
        name = self.file or unquote(urlsplit(self.url).path.strip("/")) or POSTGRESQL
        return f"{name}/{self.table or f'query for {canonical}'} (database)"


def database(written: object, where: str) -> Database:
    """Check the keys of a database."""
    known = [item.name for item in fields(Database)]
    if not isinstance(written, dict):
        raise DataError(f"{where} is a section with the keys {', '.join(known)}")
    unknown = [key for key in written if key not in known]
    if unknown:
        hint = "; passwords come from the environment, password_env names the variable" if "pass" in unknown[0].lower() else ""
        raise DataError(f"{where} has the unknown key {unknown[0]!r}{hint}. It may have {', '.join(known)}")
    for key, value in written.items():
        if not isinstance(value, str) or not value:
            raise DataError(f"{where} {key} must be a text")
        refuse_password(value if key == "url" else "", f"{where} {key}")
    if ("table" in written) == ("query" in written):
        raise DataError(f"{where} needs either a table or a query")
    found = Database(**{"url": "", **written})
    parts = urlsplit(found.url)
    if parts.scheme not in SCHEMES or (found.kind != POSTGRESQL and (parts.netloc or not found.file)):
        raise DataError(f"{where} url must be postgresql://user@host/database, sqlite:///file.db or duckdb:///file.duckdb")
    if found.password_env and not _VARIABLE.fullmatch(found.password_env):
        raise DataError(f"{where} password_env must be the name of an environment variable, not the password itself")
    return found


def refuse_password(text: str, where: str) -> None:
    """Refuse an address that seems to hold a password, without showing it."""
    if _PASSWORD.search(text):
        raise DataError(
            f"{where} seems to hold a password, which kpi.toml must not: take it out, put it into the environment variable PGPASSWORD, "
            'or into another one named by password_env = "MY_VARIABLE"'
        )
