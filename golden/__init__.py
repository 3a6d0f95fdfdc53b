"""Whether the parts of the library still give the rows that they gave: a lock of their code, and golden rows.

``make lint`` compares the code with ``lock.json``. ``python -m golden PART…`` makes the golden rows and writes it.
"""
