"""MicroPython onto a board: the file is checked to be for its chip and its flash layout before anything is erased."""
