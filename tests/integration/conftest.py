# SPDX-License-Identifier: Apache-2.0
"""The fixtures of these tests are harness/fixtures.py: other suites use them too."""

from harness.fixtures import *  # noqa: F403
