"""Files, queries and frames into canonical tables: each row used or set aside for a named reason, each decision written down.

``read_config`` reads a kpi.toml, ``read`` its tables, ``read_frames`` tables in memory, ``read_spark`` tables on Spark; all give a `Reading`.
"""

from kpi.sources.config import Company, Config, Source, read_config
from kpi.sources.readers.files import Input
from kpi.sources.reading import Reading, read, read_frames
from kpi.sources.spark import read_spark

__all__ = ["Company", "Config", "Input", "Reading", "Source", "read", "read_config", "read_frames", "read_spark"]
