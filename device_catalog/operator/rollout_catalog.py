"""The part of the catalog that is about rollouts and groups, as the operator's commands see it."""

import secrets
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from device_catalog.contract import paths
from device_catalog.contract.groups import GroupChange, GroupChanged, GroupDetail, GroupEntry, GroupPage
from device_catalog.contract.register import ProblemDocument
from device_catalog.contract.rollout_progress import (
    DevicePage,
    DeviceProgress,
    RolloutDetail,
    RolloutPage,
    RolloutSummary,
)
from device_catalog.contract.rollouts import RolloutOrder
from device_catalog.operator.catalog import MAXIMUM_PAGES, PAGE, Catalog, read
from device_catalog.operator.errors import OperatorError


class RolloutCatalog(Catalog):
    """The part of the catalog that is about rollouts and groups."""

    def start(self, request: Mapping[str, Any]) -> RolloutDetail:
        """Start a rollout, judged by the catalog alone; a repetition of the same call does not start another."""
        headers = {"Idempotency-Key": secrets.token_hex(16)}
        return read(self._exchange("POST", paths.ROLLOUTS, body=request, headers=headers)[0], RolloutDetail)

    def rollout(self, name: str) -> tuple[RolloutDetail, str]:
        """Return all about a rollout, and its entity tag."""
        answer, tag = self._exchange("GET", paths.ROLLOUT.format(rollout=name))
        return read(answer, RolloutDetail), tag

    def rollouts(self, query: Mapping[str, str], most: int) -> list[RolloutSummary]:
        """Return the newest rollouts that fit."""
        answer, _ = self._exchange("GET", paths.ROLLOUTS, query={"limit": str(most), **query})
        return list(read(answer, RolloutPage).items)

    def order(self, name: str, order: RolloutOrder, tag: str) -> RolloutDetail:
        """Do something with a rollout as it was read with an entity tag."""
        path = paths.ROLLOUT_ORDERS.format(rollout=name)
        return read(self._exchange("POST", path, body=order, headers={"If-Match": tag})[0], RolloutDetail)

    def told(self, name: str, state: str) -> Iterator[DeviceProgress]:
        """Go through the devices that a rollout told; in one state, where it is said."""
        cursor = ""
        for _ in range(MAXIMUM_PAGES):
            query = {
                "limit": str(PAGE),
                **({"state": state} if state else {}),
                **({"cursor": cursor} if cursor else {}),
            }
            answer, _ = self._exchange("GET", paths.ROLLOUT_DEVICES.format(rollout=name), query=query)
            page = read(answer, DevicePage)
            yield from page.items
            if not page.next:
                return
            cursor = page.next

    def groups(self) -> Iterator[GroupEntry]:
        """Go through all groups."""
        cursor = ""
        for _ in range(MAXIMUM_PAGES):
            query = {"limit": str(PAGE), **({"cursor": cursor} if cursor else {})}
            page = read(self._exchange("GET", paths.GROUPS, query=query)[0], GroupPage)
            yield from page.items
            if not page.next:
                return
            cursor = page.next

    def group(self, group: str) -> Iterator[str]:
        """Go through the devices of a group."""
        cursor = ""
        for _ in range(MAXIMUM_PAGES):
            query = {"limit": str(PAGE), **({"cursor": cursor} if cursor else {})}
            page = read(self._exchange("GET", paths.GROUP.format(group=group), query=query)[0], GroupDetail)
            yield from page.devices
            if not page.next:
                return
            cursor = page.next

    def change_group(self, group: str, change: GroupChange) -> GroupChanged:
        """Let devices join and leave a group, all or none."""
        path = paths.GROUP_MEMBERS.format(group=group)
        return read(self._exchange("POST", path, body=change)[0], GroupChanged)

    def _refused(self, status: int, answer: bytes, device: str) -> OperatorError:
        if status in (404, 412):  # the catalog's own sentence says it all
            try:
                return OperatorError(msgspec.json.decode(answer, type=ProblemDocument).detail, (), status)
            except msgspec.MsgspecError:
                return super()._refused(status, answer, device)
        return super()._refused(status, answer, device)
