"""The event recorder: from an event to a COMTRADE file on the meter, its announcement, and its way to the catalog."""
