"""What came out of testing a waveform source: a finding for each rule, for a test to fail with or a person to read."""

from dataclasses import dataclass

from algorithms.api.conformance_report import Finding


@dataclass(frozen=True, slots=True)
class Report:
    """What came out for one source."""

    source: str
    findings: tuple[Finding, ...]

    @property
    def failed(self) -> tuple[Finding, ...]:
        """The findings that are wrong."""
        return tuple(finding for finding in self.findings if not finding.passed)

    def raise_if_failed(self) -> None:
        """
        Fail with everything that is wrong.

        Raises
        ------
        AssertionError
            Naming each rule that failed.
        """
        if self.failed:
            lines = "\n".join(f"  {finding.rule}: {finding.detail}" for finding in self.failed)
            raise AssertionError(f"{self.source} does not do what every source does:\n{lines}")

    def __str__(self) -> str:
        return "\n".join((self.source, *(f"  {finding}" for finding in self.findings)))
