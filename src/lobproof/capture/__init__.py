"""Live capture: what a venue sends, kept byte for byte, and every loss known.

It answers: how do lines get to disk so that a kill or a full disk costs no earlier one
(`journals`).
"""
