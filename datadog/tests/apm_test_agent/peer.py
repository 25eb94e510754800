"""A service that is traced by ddtrace. Each request is one line of the standard input, a JSON object of headers. It goes on
with their trace in one span, and writes the headers of its own request, with its ids, as one line to the standard output.
Without headers it starts a trace of its own."""

import json
import os
import sys

from ddtrace.contrib.trace_utils import set_user
from ddtrace.propagation.http import HTTPPropagator
from ddtrace.trace import tracer

for line in sys.stdin:
    headers = json.loads(line)
    context = HTTPPropagator.extract(headers)
    tracer.context_provider.activate(context if headers else None)
    with tracer.trace(os.environ["DD_SERVICE"] + ".work") as span:
        if not headers:
            span.set_tag("manual.keep")
            span.context.dd_origin = "synthetics"
            set_user(tracer, "alice", propagate=True)
        if not span.context.get_all_baggage_items():
            span.context.set_baggage_item("user", "alice b")
        sent = {}
        HTTPPropagator.inject(span.context, sent)
        baggage = span.context.get_all_baggage_items()
    answer = {"headers": sent, "span_id": span.span_id, "trace_id": f"{span.trace_id:032x}", "baggage": baggage}
    print(json.dumps(answer), flush=True)

tracer.shutdown()
