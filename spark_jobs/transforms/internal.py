"""Names of columns that a transform adds to a frame of somebody else's, and takes out again."""


def internal(name: str) -> str:
    """The name of a transform's own column.

    It has a blank, which no column of a contract may have: whatever the columns of a frame are called, it is not this.
    """
    return f"nightshift {name}"
