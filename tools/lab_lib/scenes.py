# SPDX-License-Identifier: Apache-2.0
"""Every scene of the lab, in the order in which they run. Imported by suite.py for its effect."""

import scenes_streams  # noqa: F401, I001
import scenes_lifecycle  # noqa: F401
import scenes_faults  # noqa: F401
import scenes_host  # noqa: F401
import scenes_conformance  # noqa: F401
import scenes_containers  # noqa: F401
