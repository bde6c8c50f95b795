"""The child process that follows a recording's pictures and refines its poses.

python -m annotate.refining RECORDING OUT
"""

from __future__ import annotations

import sys
from pathlib import Path

from annotate.background import Say, serve


def main(project: str, out: str) -> None:
    """Refine, saying how many pictures were looked at."""

    def run(say: Say) -> None:
        from annotate.cuboid_drift import write_refined
        from arsession.readers import open_session

        recording = open_session(Path(project))
        write_refined(recording, Path(out), lambda done, total: say(done=done, total=total))
        say(finished=True)

    serve(run)


if __name__ == "__main__":
    main(*sys.argv[1:])
