"""Rows out of what holds them: text files, workbooks, Parquet files, databases, queries, frames."""
