"""Conversion of fetched documents to text for a model.

``document.py`` defines documents, ``formats.py`` selects the reader for a media type, and
``process.py`` runs it in a separate process, which can be killed when it takes too long. ``html``
selects the content of a web page, and ``markdown`` writes it.
"""
