"""How cells are written, and their values: dialect of numbers and dates, casts, time zones."""
