"""What a reader sees: language, charts, blocks, pages. Results in; sentence, Axes, table, block out; no KPI is computed here."""
