"""What the firmware takes of a board: bytes of bytecode, heap at each stage of a start, the smallest heap; and the budgets for them."""
