"""What came out of testing an algorithm: one finding for each rule, for a test to fail with or a person to read."""

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
    What came out for one algorithm.

    Attributes
    ----------
    algorithm : str
    findings : tuple of Finding
    """

    algorithm: str
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
            raise AssertionError(f"{self.algorithm} does not do what every algorithm does:\n{lines}")

    def __str__(self) -> str:
        return "\n".join((self.algorithm, *(f"  {finding}" for finding in self.findings)))
