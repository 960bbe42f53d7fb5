"""
What came out of testing a plug-in (an algorithm, a waveform source) against the rules of its kind.

One finding for each rule, for a test to fail with or a person to read.
"""

import msgspec


class Finding(msgspec.Struct, frozen=True):
    """
    What came out for one rule.

    Attributes
    ----------
    rule : str
    passed : bool
    detail : str
        What was done, or what was expected and what was found.
    """

    rule: str
    passed: bool
    detail: str

    def __str__(self) -> str:
        return f"{'passed' if self.passed else 'FAILED'}  {self.rule}: {self.detail}"


class Report(msgspec.Struct, frozen=True):
    """
    What came out for one plug-in.

    Attributes
    ----------
    subject : str
        Which was tested.
    kind : str
        What it is, such as ``algorithm``.
    findings : tuple of Finding
    """

    subject: str
    kind: str
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
            Naming each rule that failed; test runners show it as a failed test.
        """
        if self.failed:
            lines = "\n".join(f"  {finding.rule}: {finding.detail}" for finding in self.failed)
            raise AssertionError(f"{self.subject} does not do what every {self.kind} does:\n{lines}")

    def __str__(self) -> str:
        return "\n".join((self.subject, *(f"  {finding}" for finding in self.findings)))
