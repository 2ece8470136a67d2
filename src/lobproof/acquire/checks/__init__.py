"""Whether a file of Crypto Lake's is fit for use: every reason against it, and its rows.

One file by itself (`scan`): its values against the decimal grid (`grid`), its times and silences
(`coverage`), each table's own rules (`table_checks`); the files of a symbol-day by each other's
coverage (`cross_file`); every reason, and how grave it is (`reasons`). Not here: what happens to a
file then (`validate`), and whether the book that its rows make is right (`replay`).
"""
