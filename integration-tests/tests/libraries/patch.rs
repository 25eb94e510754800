//! What `patch` says of the integrations, and the options that switch them off.

use axum::Router;
use axum::routing::get;
use datadog::{DDClient, PatchStatus};
use diesel::prelude::*;

use crate::fixture::{Fixture, runtime, serve};

const LINES: [&str; 8] = [
    "actix-web",
    "axum",
    "tower",
    "hyper-client",
    "reqwest",
    "ureq",
    "redis",
    "tokio-postgres",
];

fn statuses(client: &DDClient) -> Vec<PatchStatus> {
    let report = client.patch(LINES);
    let modules = report.modules().iter();
    modules.map(|module| module.status.clone()).collect()
}

#[test]
fn modules_need_a_line_until_the_program_has_it() {
    let fixture = Fixture::new();
    let client = &fixture.client;
    for status in statuses(client) {
        assert!(
            matches!(status, PatchStatus::NeedsLine { .. }),
            "{status:?}"
        );
    }
    _ = client.actix_web_middleware();
    _ = client.axum_layer();
    let tonic = |client: &DDClient| client.patch(["tonic"]).modules()[0].status.clone();
    assert!(matches!(tonic(client), PatchStatus::NeedsLine { .. }));
    _ = client.tower_server_layer();
    assert_eq!(tonic(client), PatchStatus::Active);
    _ = client.tower_client_layer();
    _ = client.reqwest_middleware();
    _ = client.ureq_middleware();
    _ = client.redis_connection(());
    // A client of PostgreSQL takes a server: the last one.
    let statuses = statuses(client);
    let (postgres, others) = statuses.split_last().unwrap();
    assert!(matches!(postgres, PatchStatus::NeedsLine { .. }));
    for status in others {
        assert_eq!(status, &PatchStatus::Active);
    }
}

#[test]
fn what_options_switch_off_has_no_spans() {
    let off = [
        ("DD_TRACE_AXUM_ENABLED", "false"),
        ("DD_PATCH_MODULES", "ureq:false"),
    ];
    let fixture = Fixture::with(|config| config.environment(off));
    let runtime = runtime();
    let handler = {
        let client = fixture.client.clone();
        move || {
            let client = client.clone();
            async move { client.trace("handler").span_id().to_string() }
        }
    };
    let router = Router::new()
        .route("/", get(handler))
        .layer(fixture.client.axum_layer());
    let address = serve(&runtime, router);
    let web: ureq::Agent = ureq::Agent::config_builder()
        .middleware(fixture.client.ureq_middleware())
        .build()
        .into();
    let order = fixture.client.trace("order");
    let mut answer = web.get(format!("http://{address}/")).call().unwrap();
    let handler: u64 = answer.body_mut().read_to_string().unwrap().parse().unwrap();
    order.finish();
    let spans = fixture.spans(2);
    let handled = spans.iter().find(|span| span.span_id == handler).unwrap();
    assert_eq!((&*handled.name, handled.parent_id), ("handler", 0));
}

/// The hook of diesel is the process's, so this goes after the test of it, within the same one.
pub(crate) fn diesel_is_patched() {
    let fixture = Fixture::new();
    let report = fixture.client.patch(["diesel"]);
    assert_eq!(report.modules()[0].status, PatchStatus::Active);
    let mut connection = SqliteConnection::establish(":memory:").unwrap();
    diesel::sql_query("SELECT 1")
        .execute(&mut connection)
        .unwrap();
    assert_eq!(fixture.spans(1)[0].resource, "SELECT ?");
}
