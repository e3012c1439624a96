"""The `redpoll` command."""

def main() -> int:
    return 0
