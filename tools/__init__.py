"""The bench: the hub, the virtual board and what deploys to real ones. One command, `redpoll`."""
