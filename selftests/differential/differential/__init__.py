# SPDX-License-Identifier: Apache-2.0
"""The same segments to devmem's engine and to a Linux socket, and a comparison of what both say.
Used by run_differential; Documentation/testing.md says how to replay what it finds."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "packets"))
