"""The report page: one offline HTML file that shows what a store holds and how far to trust it."""

from lobproof.report.page import check_page, write_report

__all__ = ["check_page", "write_report"]
