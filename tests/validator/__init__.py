"""An independent validator of exported rows: it imports nothing of the program that wrote them.

``check_row`` gives the violations of one row, ``validate`` those of a file and its statistics. As a
command: ``python -m tests.validator FILE [--json]``; exit code 1 on any violation or missed threshold.
"""

from tests.validator.report import Report, Thresholds, validate
from tests.validator.row import Violation, check_row

__all__ = ["Report", "Thresholds", "Violation", "check_row", "validate"]
