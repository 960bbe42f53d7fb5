"""When the fork server goes, everybody hears of it."""

from agent.processes.workers import Workers


class Handle:
    """A process's handle that hears of its end."""

    def __init__(self, *, raises):
        self.name = "algorithm count"
        self.ends = 0
        self._raises = raises

    def process_ended(self, status):
        assert status is None
        self.ends += 1
        if self._raises:
            raise OSError(9, "Bad file descriptor")


def test_a_handle_that_raises_leaves_no_other_believing(caplog):
    told = []
    workers = Workers(on_exit=told.append)
    handles = [Handle(raises=True), Handle(raises=False), Handle(raises=True)]
    workers._workers.update(enumerate(handles))
    workers._gone("the fork server is gone")
    assert [handle.ends for handle in handles] == [1, 1, 1]
    assert told == ["the fork server is gone"]
    assert caplog.text.count("could not be dealt with") == 2
    assert workers._workers == {}
