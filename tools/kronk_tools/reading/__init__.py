"""What was fetched, as text a model can read.

``document.py`` says what a document is, ``formats.py`` finds the reader for a media type, and
``process.py`` has it run in a process of its own, which can be ended when it takes too long.
``html`` chooses what of a web page is read, and ``markdown`` writes it.
"""
