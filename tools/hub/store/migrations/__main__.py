"""`python -m tools.hub.store.migrations "why"`: write the next revision."""

import sys

from tools.hub.store.migrations import main

sys.exit(main())
