//! What is logged within a span carries the ids under which the agent knows the span.

use datadog_local_agent::LocalAgent;
use serde_json::Value;

use crate::session::{LIMIT, Session};

#[test]
fn logs_have_the_ids_of_the_agents_spans() {
    let Some(session) = Session::start("logs_have_the_ids_of_the_agents_spans") else {
        return;
    };
    let intake = LocalAgent::start().unwrap();
    let [agent_url, _] = session.agent_urls();
    let client = session.client(&agent_url, |config| {
        config
            .logs_direct_submission_url(intake.url())
            .api_key("0123456789abcdef0123456789abcdef")
    });
    {
        let _request = client.trace("web.request");
        client.info("request");
        let _query = client.trace("db.query");
        client.info("query");
        std::thread::scope(|scope| {
            let context = _query.context().unwrap();
            let client = &client;
            scope.spawn(move || {
                let _row = client.trace_from(&context, "db.row");
                client.info("row");
            });
        });
    }
    client.info("outside");
    let report = client.flush(LIMIT);
    assert_eq!(
        (report.delivered, report.dropped.total()),
        (7, 0),
        "{report}"
    );

    let logs = intake.logs();
    let traces = session.traces();
    assert_eq!((logs.len(), traces.len()), (4, 1));
    let spans = traces[0].as_array().unwrap();
    let upper_half = spans[0]["meta"]["_dd.p.tid"].as_str().unwrap();
    for (message, name) in [
        ("request", "web.request"),
        ("query", "db.query"),
        ("row", "db.row"),
    ] {
        let log = logs.iter().find(|log| log.message == message).unwrap();
        let span = spans.iter().find(|span| span["name"] == name).unwrap();
        let trace_id = format!("{upper_half}{:016x}", span["trace_id"].as_u64().unwrap());
        let id = log.attribute("dd.trace_id").and_then(Value::as_str);
        assert_eq!(id, Some(&*trace_id), "{message}");
        assert_eq!(log.span_id(), span["span_id"].as_u64(), "{message}");
    }
    let outside = logs.iter().find(|log| log.message == "outside").unwrap();
    assert_eq!((outside.trace_id(), outside.span_id()), (None, None));
}
