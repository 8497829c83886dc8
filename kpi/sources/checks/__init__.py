"""Which rows can be used: the rules, what breaks them, and what is recorded from when."""
