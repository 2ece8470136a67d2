"""Live capture: what a venue sends, kept byte for byte, and every loss known.

It answers: how do lines get to disk so that a kill or a full disk costs no earlier one
(`journals`); what is in a frame (`frames`); which depth message is missing, and which snapshot
fits (`chain`); which of several arrivals is the first (`copies`);
what a session is made of (`session`, `lane`, `rest`); whether it can begin (`start`), and when
(`schedule`); how a symbol's minutes differ (`minutes`).
"""
