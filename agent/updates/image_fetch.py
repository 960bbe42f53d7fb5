"""
The short-lived process that has an image's manifest verified: question on standard input, answer on standard output.

Where it stands: started by `image_fetches`; `agent.trust` does the work, so TUF never comes into the agent's memory. It
leaves the manifest and the offer for the helper (`slots.messages.Offer`) as files.
"""

import hashlib
import logging
import sys
from pathlib import Path

import msgspec

from agent.errors import TrustError
from agent.files import write_durably
from agent.processes.short_lived import answer_one, bound
from agent.trust import verifier
from agent.trust.image_fetching import documents_of, fetch_image, root_from
from agent.updates.fetch_messages import FetchAnswer
from agent.updates.image_messages import MANIFEST, OFFER, ImageQuestion
from agent.updates.slots.messages import Offer

_PROCESSOR, _MEMORY = 120, 1024 * 2**20


def answer(question: ImageQuestion) -> FetchAnswer:
    """Have the manifest verified, and leave it with what the helper needs."""
    try:
        fetched = fetch_image(
            question.name,
            question.version,
            state=Path(question.state),
            root=question.root,
            repository=question.repository,
            clock=question.clock,
            least=question.least,
            ca=question.ca,
            ask=lambda asked, _: verifier.answer(asked),
        )
        documents = documents_of(fetched.folder, root_from(question.repository, question.ca))
        folder = Path(question.folder)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_durably(folder / OFFER, msgspec.json.encode(Offer(fetched.data.decode(), documents)))
        write_durably(folder / MANIFEST, fetched.data)
    except TrustError as error:
        return FetchAnswer(str(error), error.passing)
    except OSError as error:
        return FetchAnswer(f"expected room for a manifest, found: {error.strerror or error}", passing=True)
    digest = hashlib.sha256(fetched.data).hexdigest()
    return FetchAnswer(release=fetched.manifest.release, length=len(fetched.data), sha256=digest)


def main() -> int:
    """Answer one question."""
    bound(processor=_PROCESSOR, memory=_MEMORY)
    logging.disable(logging.CRITICAL)  # TUF warns of what the answer says anyway
    answer_one(ImageQuestion, answer)
    return 0


if __name__ == "__main__":
    sys.exit(main())
