"""The records of the log in SQLite, so that a page or a trace reads a few rows instead of topics.

`rows` says what is kept of a record, `database` holds the tables, `writer` applies messages, `feed`
reads them from the log, `reader` has the queries, `lineage` follows causes both ways.
"""
