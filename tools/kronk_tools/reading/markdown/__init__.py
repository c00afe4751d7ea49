"""HTML trees to Markdown or plain text, with everything that a reader of the page sees.

``converter.py`` converts a tree to ``blocks.py``, with one module for each kind of content, and
``writer.py`` writes the blocks. The output of an element does not depend on its surroundings.
"""
