"""Crypto Lake history in a folder: downloaded, judged, certified, read.

The folder and its zones (`zones`), what happened to each object (`manifest`), what a download would
do and its doing (`plan`, `download`); how a file is judged (`checks`), what that gives (`audits`)
and where the file goes then (`validate`); what a certificate says, and whether it holds still
(`certificate`, `certificate_status`); what is there (`status`); days as lazy frames (`lake`); what
the vendor's data is like (`facts`). `rows` reads the files for `checks` and `facts`. Not here: how
the bucket is asked (`sources/cryptolake/bucket`), how a file becomes events
(`sources/cryptolake`), and how a day is reconstructed (`pipeline`).
"""
