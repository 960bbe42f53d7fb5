"""Which MQTT the catalog speaks to a broker: 5 where it can, 3.1.1 where a broker knows no more."""

from paho.mqtt.enums import MQTTProtocolVersion

PROTOCOLS = (MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311)
"""In order of preference. Tried anew with each connection: a broker may have been renewed."""

UNSUPPORTED_PROTOCOL = 0x84
"""The reason by which a broker says that it knows no MQTT 5; some just hang up."""
