"""Crypto Lake: its bucket, and the format of its files.

It answers: what are its tables and columns, and what is a key (`layout`); what does a file's footer
say (`footer`); how are rows read (`chunks`) and made into batches (`decode`, `decode_kernels`); on
which grid do a day's values lie, and when do tick and lot change (`grid`); do the tables' clocks
agree, and what is missing (`times`); how far does the book's clock lag (`lag`); how are such files
written (`write`); how is the vendor's bucket read (`bucket`).

It judges no row: whether a message was lost or a book is right is for `replay`, whether a file is
fit to be certified for `acquire`.
"""
