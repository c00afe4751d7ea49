"""HTML to Markdown: the main content, or the whole page if none can be identified.

``page.py`` converts a page to a document; ``main_content.py`` selects its content. Import on use:
trafilatura is heavy.
"""

from kronk_tools.reading.html.main_content import MAX_ELEMENTS
from kronk_tools.reading.html.page import MAX_HTML_CHARS, read_html

__all__ = ["MAX_ELEMENTS", "MAX_HTML_CHARS", "read_html"]
