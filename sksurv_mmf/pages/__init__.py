"""Pages of HTML that stand by themselves: sections of text, tables and figures, and what writes them."""

from ._page import render, write_page
from ._parts import Figure, Section, Table, Text

__all__ = ["Figure", "Section", "Table", "Text", "render", "write_page"]
