"""Collections: the captures and golden samples below some folders.

It answers: what is there, also where it is damaged (`found`); how many hours of which symbol and
regime, and what lacks (`listing`); do journals hold what their documents say, with every break
marked (`check`); how are journals that are too old deleted, and what tells of it (`purge`).

It reads documents and journals alone; what is made of them is for others to see.
"""
