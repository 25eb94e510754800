"""A service that is traced by ddtrace: it goes on with the trace of each request, a JSON object of headers in one line of
the standard input, and writes the headers of its own request, with its ids, as one line to the standard output. With an
empty object it starts a trace of its own."""

import json
import sys

from ddtrace.propagation.http import HTTPPropagator
from ddtrace.trace import tracer

for line in sys.stdin:
    headers = json.loads(line)
    context = HTTPPropagator.extract(headers)
    tracer.context_provider.activate(context if headers else None)
    with tracer.trace("python.work") as span:
        if not headers:
            span.context.set_baggage_item("user", "alice b")
            span.set_tag("manual.keep")
        sent = {}
        HTTPPropagator.inject(span.context, sent)
        baggage = span.context.get_all_baggage_items()
    answer = {"headers": sent, "span_id": span.span_id, "trace_id": span.trace_id, "baggage": baggage}
    print(json.dumps(answer), flush=True)

tracer.shutdown()
