"""HTML trees to Markdown, or to the same text without markup: everything that a person reads.

``converter.py`` turns a tree into ``blocks.py``, with the help of a module for each kind of
content, and ``writer.py`` writes them. What comes out of an element does not depend on what is
around it.
"""
