"""The fidelity page: what `prove` found of a store, as one offline HTML file and as Markdown.

What both sides are like (`seen`, from the blocks that the report keeps) is drawn
(`distributions`, `curves`, `overview`) beside what the gates say of it (`words`), and put into one
file by `page`. Nothing is judged here, and no event is read but for the book at the first
divergence.
"""

from lobproof.pages.fidelity.page import fidelity_markdown, fidelity_page

__all__ = ["fidelity_markdown", "fidelity_page"]
