"""Which one change would most raise the value won over the next quarter: a model of the pipeline, and its levers moved one by one."""

from kpi.forecast.levers import expected_won, gains

__all__ = ["expected_won", "gains"]


def __dir__() -> list[str]:
    return __all__
