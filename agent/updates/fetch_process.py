"""
The short-lived process that downloads, verifies and puts in place one package: question on standard input, answer out.

Where it stands: started by `fetches`, which may end it at any time; `agent.trust` does the work, in this process, so
that neither TUF nor a package's bytes ever come into the agent's own memory. Whatever becomes of it, what runs and what
is on the card stays as it was.
"""

import logging
import sys
from pathlib import Path

from agent.errors import TrustError
from agent.processes.short_lived import answer_one, bound
from agent.trust import verifier
from agent.trust.fetching import fetch_algorithm
from agent.updates.fetch_messages import FetchAnswer, FetchQuestion

_PROCESSOR, _MEMORY = 120, 1024 * 2**20


def answer(question: FetchQuestion) -> FetchAnswer:
    """Fetch it."""
    try:
        fetched = fetch_algorithm(
            question.name,
            question.version,
            state=Path(question.state),
            root=question.root,
            repository=question.repository,
            clock=question.clock,
            ca=question.ca,
            ask=lambda asked, _: verifier.answer(asked),
        )
    except TrustError as error:
        return FetchAnswer(str(error), error.passing)
    package = fetched.package
    return FetchAnswer(release=package.manifest.release, length=package.length, sha256=package.sha256)


def main() -> int:
    """Answer one question."""
    bound(processor=_PROCESSOR, memory=_MEMORY)
    logging.disable(logging.CRITICAL)  # TUF warns of what the answer says anyway
    answer_one(FetchQuestion, answer)
    return 0


if __name__ == "__main__":
    sys.exit(main())
