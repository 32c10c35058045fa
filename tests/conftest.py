"""How hypothesis chooses its examples: the same in every `make test`, new ones in `make test-all`.

A red `make test` then says that a change broke something, not that today's examples were luckier than yesterday's; looking for new
counter-examples is what `make test-all` (and the profile `explore` by itself) is for.
"""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("repeat", derandomize=True)
settings.register_profile("explore", print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeat"))
