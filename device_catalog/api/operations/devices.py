"""What can be asked about devices: the register, what each shall do, what it said."""

from device_catalog.api.operations.operation import FILTERS, POLL, Configured, Operation
from device_catalog.contract.calibration import Calibration
from device_catalog.contract.documents import Configuration, Desired
from device_catalog.contract.paths import (
    CALIBRATION,
    CONFIGURATION,
    CREDENTIAL,
    DESIRED,
    DEVICE,
    DEVICES,
    HISTORY,
    REPORTED,
)
from device_catalog.contract.register import DeviceDetail, History, Page, Registered, Registration
from device_catalog.contract.reports import Reported

DEVICE_OPERATIONS = (
    Operation("get", DEVICES, "Find devices and services", "operator", 200, None, Page, (), FILTERS, (401, 422)),
    Operation(
        "post",
        DEVICES,
        "Register a device; its credential is shown this once",
        "operator",
        201,
        Registration,
        Registered,
        ("Idempotency-Key",),
        (),
        (400, 401, 409, 413, 422),
    ),
    Operation("get", DEVICE, "All that is known of a device", "operator", 200, None, DeviceDetail, (), (), (401, 404)),
    Operation("delete", DEVICE, "Take a device off the register", "operator", 204, refusals=(401, 404)),
    Operation(
        "get",
        DESIRED,
        "Poll: heartbeat, acknowledgement, and the desired document when it is newer (304 when it is not)",
        "device",
        200,
        None,
        Desired,
        POLL,
        (),
        (304, 401, 404, 429, 503),
    ),
    Operation("get", CONFIGURATION, "A device's configuration", "device", 200, None, Configuration, (), (), (401, 404)),
    Operation(
        "put",
        CONFIGURATION,
        "Give a device another configuration",
        "operator",
        200,
        Configuration,
        Configured,
        ("If-Match",),
        (),
        (401, 404, 412, 413, 422, 428),
    ),
    Operation(
        "get", CALIBRATION, "A device's newest calibration", "device", 200, None, Calibration, (), (), (401, 404)
    ),
    Operation(
        "put",
        CALIBRATION,
        "Tell what was measured of a device's channels; of two calibrations the later one counts",
        "device",
        200,
        Calibration,
        Configured,
        (),
        (),
        (401, 404, 409, 413, 422),
    ),
    Operation("get", REPORTED, "What a device reported last", "device", 200, None, Reported, (), (), (401, 404)),
    Operation(
        "put",
        REPORTED,
        "Report everything anew",
        "device",
        204,
        Reported,
        refusals=(401, 404, 413, 422),
    ),
    Operation(
        "patch",
        REPORTED,
        "Report what changed (merge patch, RFC 7396)",
        "device",
        204,
        Reported,
        refusals=(401, 404, 413, 422),
    ),
    Operation(
        "post", CREDENTIAL, "Give a device another credential", "operator", 201, None, Registered, (), (), (401, 404)
    ),
    Operation(
        "get", HISTORY, "Who changed what of a device, newest first", "operator", 200, None, History, (), (), (401, 404)
    ),
)
