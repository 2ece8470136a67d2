"""The report page: one offline HTML file that shows what a store holds and how far to trust it.

What there is of a symbol (`survey`, which sums the events up by `sweep`), what is said about it
(`words`) and drawn (`figures`), put into one file by `page`. Nothing is judged here: findings are
those of the store, and a verdict is that of ``verify``, which the page only shows.
"""

from lobproof.pages.page import check_page, report

__all__ = ["check_page", "report"]
