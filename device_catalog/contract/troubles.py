"""
What is wrong with a device, in sentences: read off what it should do and what it reports (pure).

The operator's command and the catalog's pages say the same of the same device, because both ask here.
"""

from device_catalog.contract.register import DeviceDetail
from device_catalog.contract.reports import ImageReport, Reported, TrustReport


def problems_of(detail: DeviceDetail) -> list[str]:
    """Gather everything an operator should know is wrong with a device, in sentences."""
    summary, reported = detail.summary, detail.reported
    problems = []
    if summary.available is False:
        problems.append("the catalog has not heard from it within its lease")
    if reported is None:
        return [*problems, "it has never reported; is its agent running with the lines `tresma devices add` printed?"]
    if reported.refused is not None:
        problems += [f"it refused revision {reported.refused.revision}: {item}" for item in reported.refused.problems]
    elif reported.applied_revision < detail.desired.revision:
        problems.append(f"it has applied revision {reported.applied_revision}, not yet {detail.desired.revision}")
    wanted, network = detail.desired.configuration.topology, reported.network
    if wanted is not None and network is not None:
        behind = network.model_revision < wanted.model_revision or network.topology_revision < wanted.topology_revision
        if behind:
            works = f"revision {network.model_revision}, switches of revision {network.topology_revision}"
            due = f"{wanted.model_revision} and {wanted.topology_revision}"
            problems.append(f"it works on network {network.network} of {works}, not yet on {due}")
    return problems + _trust_in_trouble(reported.trust) + _parts_in_trouble(reported) + list(reported.problems)


def _trust_in_trouble(trust: TrustReport) -> list[str]:
    problems = []
    if trust.refused_orders:
        problems.append(f"it did not obey {trust.refused_orders} orders since it started; {trust.last_refusal}")
    if trust.last_error:
        problems.append(f"the DSO's policy is not renewed there: {trust.last_error}")
    return problems


def _parts_in_trouble(reported: Reported) -> list[str]:
    problems = []
    for name, algorithm in reported.algorithms.items():
        if algorithm.state not in ("running", "starting"):
            problems.append(f"algorithm {name} is in {algorithm.state}: {algorithm.last_error or 'no reason given'}")
        update = algorithm.update
        if update is not None and update.step == "failed":
            why = update.reason or "no reason given"
            problems.append(f"algorithm {name} stays at {algorithm.version}: version {update.version} failed: {why}")
        if algorithm.dropped or algorithm.lost_samples:
            problems.append(
                f"algorithm {name} lost {algorithm.lost_samples} samples and dropped {algorithm.dropped} records"
            )
    for name, link in reported.links.items():
        if not link.connected:
            problems.append(f"the {name} broker is not connected: {link.last_error or 'no reason given'}")
        if link.dropped or link.refused:
            problems.append(f"for the {name} broker {link.dropped} messages were dropped and {link.refused} refused")
    return problems + _image_in_trouble(reported.image) + _measuring_in_trouble(reported)


def _image_in_trouble(image: ImageReport | None) -> list[str]:
    if image is None:
        return []
    problems = []
    if image.update is not None and image.update.step == "failed":
        why = image.update.reason or "no reason given"
        stays = f"stays at {image.version}" if image.version else "stays what it is"
        problems.append(f"its image {stays}: version {image.update.version} failed: {why}")
    if image.last_error:
        problems.append(f"its image cannot be looked after: {image.last_error}")
    return problems


def _measuring_in_trouble(reported: Reported) -> list[str]:
    problems = []
    source = reported.source
    if source is not None and (source.lost or source.state not in ("running", "starting", "ended")):
        problems.append(
            f"source {source.driver} is {source.state}, {source.lost} samples lost: {source.last_error or '-'}"
        )
    if reported.time is not None and not reported.time.synchronised:
        problems.append("its clock does not follow UTC: angles are its own, and no two meters can be compared")
    missing = [layer for layer, in_force in reported.isolation.items() if not in_force]
    if missing:
        problems.append(f"not in force among what confines algorithms: {', '.join(missing)}")
    return problems
