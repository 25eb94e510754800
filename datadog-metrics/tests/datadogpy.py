"""Sends one thing of every kind with PyPI `datadog`: to be called with the port of DogStatsD and `plain` or `aggregated`."""

import sys

from datadog.dogstatsd import DogStatsd

TAGS = ["route:/cart", "canary"]
AT = 1_700_000_000

port, mode = sys.argv[1:]
plain = mode == "plain"
client = DogStatsd(
    host="127.0.0.1",
    port=int(port),
    namespace="shop",
    constant_tags=["service:shop"],
    disable_telemetry=True,
    disable_aggregation=plain,
    disable_buffering=plain,
    cardinality="low",
)

client.count("count", -5, tags=TAGS)
client.increment("incr", tags=TAGS)
client.decrement("decr", tags=TAGS)
client.gauge("gauge", 1.25, tags=TAGS)
client.histogram("histogram", 0.001, tags=TAGS)
client.distribution("distribution", -12345.5, tags=TAGS)
client.timing("timing", 350, tags=TAGS)
client.set("set", "ann", tags=TAGS)
client.count_with_timestamp("count_at", 7, AT, tags=TAGS)
client.gauge_with_timestamp("gauge_at", -2.5, AT, tags=TAGS)
client.flush_aggregated_metrics()
client.flush()

client.event("title", "text", tags=TAGS)
client.event("Ausfall: 3 Geräte ☎", "line 1\nline 2 | a, b", tags=TAGS)
for alert_type in ["error", "warning", "info", "success"]:
    for priority in ["normal", "low"]:
        client.event(
            "title",
            "text",
            alert_type=alert_type,
            aggregation_key="deploy",
            source_type_name="ci",
            date_happened=AT,
            priority=priority,
            hostname="web-1",
            tags=TAGS,
        )

for status in range(4):
    client.service_check("db.up", status, tags=TAGS, timestamp=AT, hostname="web-1")
client.service_check("db.up", DogStatsd.CRITICAL, tags=TAGS, message="refused,\n3 times m:x")
client.flush()
