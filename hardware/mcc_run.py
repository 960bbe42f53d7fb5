"""
One run of a board, from its start to its stop, interruptions included: what happens in time.

Where it stands: `mcc_source` starts one and reads it; it drives an `OpenBoard` of a vendor's library, reads its ring
(`mcc_ring`), makes primary values (`scaling`), numbers and stamps them (`mcc_times`) and cuts blocks (`framing`).

- **Polling.** Nothing wakes a reader, so it sleeps until the stage of USB transfers that completes its block is due:
  about one look for each block, within a millisecond of the transfer.
- **Loss.** A ring that lapped the reader, an overrun of the board's FIFO, a stall and an unplugged cable all end as a
  jump of the sample number and a flag. After an overrun the scan alone begins anew; after anything else the board is
  let go, looked for by its serial number, and opened again, with longer and longer pauses. Meanwhile `read` returns
  None; after `options.recovery` [s] without a sample it raises `SourceLost`.
- **Silence.** A library can go on saying that all is well when the cable is out: a count that stands still is a fault.
- **Time.** `mcc_times` stamps samples by when the host saw them complete, which USB delays and never hastens, and says
  how well that follows UTC.
"""

from collections import deque

from algorithms.api.samples import SampleBlock, SampleFlag
from hardware.errors import SourceError, SourceLost
from hardware.framing import Framer
from hardware.mcc_clocks import BoardClocks
from hardware.mcc_library import BoardFault, BoardLibrary, FoundBoard, OpenBoard, choose
from hardware.mcc_options import BoardOptions, Trigger
from hardware.mcc_ring import EndsOfRange, RingReader
from hardware.mcc_scan import plan_scan
from hardware.mcc_times import BoardTimes
from hardware.scaling import scaling_of
from hardware.source import SourcePlan, SourceRequest

STALL = 0.5
"""A running scan whose count stands still for this long has died unsaid [s]."""
EDGE = 10.0
"""How long the trigger's edge is awaited before the scan is begun anew [s]."""
SETTLING = 0.2
"""How much of a scan is looked at before its first block is handed out; thrown away at the very first start [s]."""
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0
"""Between attempts to get a board back [s]."""
KERNEL_INTERVAL = 4.0
"""How often the kernel is asked what it knows of UTC [s]."""
EXACTLY, EXACTLY_FOR = 8, 20.0
"""For every so many blocks, and for all of a scan's first seconds [s], a stage's arrival is watched closely."""
NAP = 0.001
"""Between looks at a stage that is due [s]."""
EARLIER = 2e-4
"""By how much sooner the next stage is looked for when the last was there at the first look [s]."""


class BoardRun:
    """
    One run of a board; `plan` is what is granted.

    Parameters
    ----------
    library : BoardLibrary
    clocks : BoardClocks
    options : BoardOptions
    request : SourceRequest
    found : FoundBoard
        Of a known model.

    Raises
    ------
    SourceRefused
        When the board cannot do what is asked.
    """

    def __init__(
        self,
        library: BoardLibrary,
        clocks: BoardClocks,
        options: BoardOptions,
        request: SourceRequest,
        found: FoundBoard,
    ) -> None:
        if found.model is None:
            raise ValueError("a board of a known model expected")
        rate = max(1.0, float(round(request.sample_rate))) if library.whole_hertz and request.sample_rate > 0 else None
        self.scan = plan_scan(library.driver, found.model, options, request, rate=rate)
        self._library, self._clocks, self._options, self._found = library, clocks, options, found
        self._scaling = scaling_of(request.channels)
        self._ends = EndsOfRange(self.scan)
        size = max(1, round(self.scan.rate * request.block_duration))
        self.plan = SourcePlan(self.scan.rate, self.scan.channels, size)
        self._times = BoardTimes(self.scan, options)
        self._framer = Framer(self.scan.channels, self.scan.rate, size, self._times.stamp)
        self._ready: deque[SampleBlock] = deque()
        self._board: OpenBoard | None = None
        self._ring: RingReader | None = None
        self._base = 0
        """Number of the running scan's first sample since the source was started."""
        self._seen = 0
        self._advanced = 0.0
        self._target = 0
        """Scans to be completed before there is a block."""
        self._looked_early = False
        self._look_at = self._due = self._begun = 0.0
        self._blocks = 0
        self._ask_kernel = 0.0
        self._fault: SourceLost | None = None
        self._faulted = self._next_try = 0.0
        self._pause = FIRST_PAUSE

    def begin(self) -> None:
        """Open the board if it is not, and start the scan."""
        if self._board is None:
            self._board = self._library.open(self._found)
        self._board.start(self.scan)
        self._base = self._times.begin(self._framer.next_index, self._clocks.read()[0])
        self._ask_kernel = 0.0
        self._ring = RingReader(self._board, self.scan, self._clocks.monotonic)
        self._seen = 0
        # The first transfers may be noticed late: look at a few, so that no stamp has to be taken back.
        self._target = max(1, min(round(SETTLING * self.scan.rate), self.scan.ring // 4))
        self._look_at = 0.0
        self._advanced = self._begun = self._now()

    def read(self, timeout: float) -> SampleBlock | None:
        """Return the next block, if there is one in time."""
        deadline = self._now() + max(0.0, timeout)
        while True:
            if not self._ready and self._now() >= self._due:
                self._work()
                self._due = self._next_look(self._now())
            if self._ready:
                return self._times.judged(self._ready.popleft())
            now = self._now()
            if now >= deadline:
                return None
            self._clocks.sleep(max(0.0, min(deadline, self._due) - now))

    def close(self) -> None:
        """Let go of the board, however it is."""
        board, self._board, self._ring = self._board, None, None
        if board is not None:
            board.close()

    def _work(self) -> None:
        """Take what is new; or, after a fault, try to get going again."""
        now = self._now()
        if self._ring is None:
            if now >= self._next_try:
                self._try_again()
            return
        try:
            self._collect()
        except SourceLost as fault:
            self._interrupted(fault)

    def _collect(self) -> None:
        board, ring = self._board, self._ring
        if board is None or ring is None:
            return
        completed = board.progress()
        host_ns, steady_ns = self._clocks.read()
        now = self._now()
        if completed:
            self._times.observe(completed, host_ns, steady_ns)
            if now >= self._ask_kernel:
                self._ask_kernel = now + KERNEL_INTERVAL
                self._times.kernel(self._clocks.kernel())
        if completed == self._seen:
            self._watch(now)
        else:
            self._seen, self._advanced = completed, now
        if completed < self._target:
            self._looked_early = True  # what is there already can wait in the ring
            return
        self._plan_look(now)
        if self._framer.next_index is None and not ring.taken:
            # The first samples of all served to settle; blocks begin on their grid.
            ring.taken = completed // self.plan.block_samples * self.plan.block_samples
        self._take(ring, completed, now)

    def _plan_look(self, now: float) -> None:
        """Tell when the stage that completes the next block is due."""
        scan, size = self.scan, self.plan.block_samples
        # Found at the first look, it came before: look a little earlier next time. Otherwise it came just now.
        extra = (self._seen - self._target) // scan.stage * scan.stage / scan.rate
        arrival = now if self._looked_early else min(now, self._due - EARLIER + extra)
        self._looked_early = False
        at = self._base + self._seen
        self._target = self._seen + min(size - at % size, scan.ring // 4)
        stages = -(-(self._target - self._seen) // scan.stage)
        self._look_at = arrival + stages * scan.stage / scan.rate
        # To see that it is not there yet and then is tells when it came; that costs a look, so not always.
        self._blocks += 1
        if self._blocks % EXACTLY == 0 or now - self._begun < EXACTLY_FOR:
            self._look_at -= NAP

    def _take(self, ring: RingReader, completed: int, seen_at: float) -> None:
        """Make blocks of what is in the ring."""
        first, volts = ring.take(completed, seen_at)
        if not volts.size:
            return
        self._fault, self._pause = None, FIRST_PAUSE
        flags = SampleFlag.CLIPPED if self._ends.reached(volts) else SampleFlag.NONE
        values = self._scaling.apply(volts, out=volts)
        values.flags.writeable = False
        self._ready += self._framer.push(values, self._base + first, flags)

    def _watch(self, now: float) -> None:
        scan = self.scan
        awaits_edge = self._seen == 0 and scan.trigger is not Trigger.NONE
        limit = EDGE if awaits_edge else max(STALL, 4 * scan.stage / scan.rate)
        if now - self._advanced <= limit:
            return
        culprits = [name for name, used in (("the trigger", awaits_edge), ("the external clock", scan.external_clock))
                    if used]  # fmt: skip
        raise BoardFault(
            f"the library says that the scan runs, and no sample came for {limit:g} s; look at "
            f"{' and '.join(culprits) or 'cable, hub and power supply'}"
        )

    def _interrupted(self, fault: SourceLost) -> None:
        """Note a fault, hand out what is still whole, and let go of what does not work any more."""
        now = self._now()
        if self._fault is None:
            self._faulted = now
        self._fault, ring = fault, self._ring
        self._ring = None
        if ring is not None and self._seen > ring.taken:
            self._take(ring, self._seen, self._advanced)
            self._fault = fault
        self._ready += self._framer.flush()
        if isinstance(fault, BoardFault) and fault.board_there and self._board is not None:
            self._board.stop()
            self._next_try = now if self._pause == FIRST_PAUSE else now + self._pause
        else:
            self.close()
            self._next_try = now + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        self._give_up(now)

    def _try_again(self) -> None:
        try:
            if self._board is None:
                self._found = choose(self._library, self._library.inventory(), self._found.serial)
            self.begin()
        except SourceLost as fault:
            self._interrupted(fault)
        except SourceError as error:  # another board stands where this one was
            self._interrupted(SourceLost(str(error)))

    def _give_up(self, now: float) -> None:
        if now - self._faulted < self._options.recovery or self._ready:
            return
        fault = self._fault
        self.close()
        waited = f"; it did not come back within {self._options.recovery:g} s" if self._options.recovery else ""
        reason = str(fault)
        raise SourceLost(f"source {self._library.driver}: {self._found} was lost: {reason}{waited}") from fault

    def _next_look(self, now: float) -> float:
        """Return when something can have happened."""
        if self._ring is None:
            return max(now + NAP, self._next_try)
        return max(now + NAP, self._look_at)

    def _now(self) -> float:
        return self._clocks.monotonic()
