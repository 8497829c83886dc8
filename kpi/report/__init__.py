"""The batch: a month's notebooks executed, made into pages and published as a whole."""

import sys

# jsonschema, imported with nbformat, would build a grammar (2 s of CPU) for formats that notebooks do not use.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]  # None says: not to be imported
