"""Style transfer in a browser: a server for this computer alone, its one page, and the work behind it."""
