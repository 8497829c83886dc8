"""Faults put into simulated tables on purpose, each one counted."""

FAULTS: dict = {}


def soil() -> None:
    """Spoil tables; written next."""
