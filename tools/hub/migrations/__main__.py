"""`python -m tools.hub.migrations "why"`: write the next revision."""

import sys

from tools.hub.migrations import main

sys.exit(main())
