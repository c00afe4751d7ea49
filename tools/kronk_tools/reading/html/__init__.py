"""HTML to Markdown: the main content, or the whole page where it has none to tell apart.

``page.py`` reads a page from its source to the document; ``main_content.py`` chooses what of it is
read. Import it on use: trafilatura is heavy.
"""

from kronk_tools.reading.html.main_content import MAX_ELEMENTS
from kronk_tools.reading.html.page import MAX_HTML_CHARS, read_html

__all__ = ["MAX_ELEMENTS", "MAX_HTML_CHARS", "read_html"]
