//! `patch`: what it reports, what it switches, and the hook for panics.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use datadog::{DDClient, DDConfig, DDConfigBuilder, PatchReport, PatchStatus};
use datadog_local_agent::{LocalAgent, Span};
use tracing::level_filters::LevelFilter;
use tracing::{Dispatch, debug, dispatcher, info_span};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{EnvFilter, Layer, fmt, registry, reload};

const LIMIT: Duration = Duration::from_secs(20);

fn client(
    agent: &LocalAgent,
    variables: &[(&str, &str)],
    more: impl FnOnce(DDConfigBuilder) -> DDConfigBuilder,
) -> DDClient {
    let config = DDConfig::builder()
        .environment(variables.iter().copied())
        .agent_url(agent.url());
    DDClient::new(more(config).build().unwrap()).unwrap()
}

fn plain(agent: &LocalAgent, variables: &[(&str, &str)]) -> DDClient {
    client(agent, variables, |config| config)
}

fn status<'a>(report: &'a PatchReport, module: &str) -> &'a PatchStatus {
    let mut lines = report.modules().iter();
    let line = lines.find(|line| line.module == Some(module));
    &line.unwrap_or_else(|| panic!("{module}: {report}")).status
}

fn is_filtered(report: &PatchReport, module: &str) -> bool {
    matches!(status(report, module), PatchStatus::Filtered { .. })
}

fn spans(client: &DDClient, agent: &LocalAgent) -> Vec<Span> {
    let report = client.flush(LIMIT);
    assert!(report.complete, "{report:?}");
    assert!(agent.refusals().is_empty());
    agent.spans()
}

#[test]
fn the_report_says_what_each_module_needs() {
    let agent = LocalAgent::start().unwrap();
    let client = plain(&agent, &[]);
    let report = client.patch(["sqlx", "rdkafka", "PANIC", "psycopg2", "asyncpgg", "zzz"]);
    let line = "DDTracingLayer, tracing_subscriber::registry().with(client.tracing_layer())";
    assert_eq!(status(&report, "sqlx"), &PatchStatus::NeedsLine { line });
    assert_eq!(status(&report, "panic"), &PatchStatus::Active);
    assert!(matches!(
        status(&report, "rdkafka"),
        PatchStatus::NeedsLine { line } if line.contains("client.inject")
    ));
    let meant: Vec<_> = report.modules()[3..6]
        .iter()
        .map(|line| line.module)
        .collect();
    assert_eq!(
        meant,
        [Some("tokio-postgres"), Some("sqlx"), Some("diesel")]
    );
    assert!(report.modules()[3].note.contains("PostgreSQL"));
    let unknown: Vec<_> = report.modules()[6..]
        .iter()
        .map(|line| &line.status)
        .collect();
    let nearest = |nearest| PatchStatus::Unknown { nearest };
    assert_eq!(unknown, [&nearest(Some("asyncpg")), &nearest(None)]);
    let table = report.to_string();
    assert!(
        table.contains(&format!(
            "sqlx                      needs one line: {line} ("
        )),
        "{table}"
    );
    assert!(table.contains("psycopg2: sqlx "), "{table}");
    assert!(table.contains("asyncpgg                  unknown; asyncpg is near\n"));
}

#[test]
fn a_handler_of_logs_is_a_line() {
    let agent = LocalAgent::start().unwrap();
    let client = plain(&agent, &[]);
    let line = "DDLogHandler, client.log_handler().install()";
    let before = client.patch(["log"]);
    assert_eq!(status(&before, "log"), &PatchStatus::NeedsLine { line });
    let handler = client.log_handler();
    let unused = client.patch(["log"]);
    assert_eq!(status(&unused, "log"), &PatchStatus::NeedsLine { line });
    let record = log::Record::builder().level(log::Level::Info).build();
    log::Log::log(&handler, &record);
    assert_eq!(
        status(&client.patch(["logging"]), "log"),
        &PatchStatus::Active
    );
}

#[test]
fn who_takes_traces_along_has_the_line_for_messages() {
    let agent = LocalAgent::start().unwrap();
    let of = |use_it: fn(&DDClient)| {
        let client = plain(&agent, &[]);
        let before = client.patch(["rdkafka", "lapin"]);
        use_it(&client);
        let after = client.patch(["rdkafka", "lapin"]);
        for module in ["rdkafka", "lapin"] {
            assert!(matches!(
                status(&before, module),
                PatchStatus::NeedsLine { line } if line.contains("client.inject")
            ));
            assert_eq!(status(&after, module), &PatchStatus::Active);
            assert!(after.to_string().contains("if those are its messages"));
        }
    };
    of(|client| client.inject(&mut HashMap::<String, String>::new()));
    of(|client| assert!(client.extract(&HashMap::<String, String>::new()).is_none()));
}

#[test]
fn what_a_middleware_tells_is_not_active() {
    let agent = LocalAgent::start().unwrap();
    let client = plain(&agent, &[]);
    let _layer = client.tower_server_layer();
    let subscriber = Dispatch::new(registry().with(client.tracing_layer()));
    let report = dispatcher::with_default(&subscriber, || client.patch(["tower-http", "poem"]));
    let middleware = "tower";
    assert_eq!(
        status(&report, "tower-http"),
        &PatchStatus::ToldBy { middleware }
    );
    assert_eq!(status(&report, "poem"), &PatchStatus::Active);
    let table = report.to_string();
    let told = "left out: the middleware for tower tells the same";
    assert!(table.contains(told), "{table}");
}

#[test]
fn filters_that_keep_something_from_the_layer_are_told() {
    let agent = LocalAgent::start().unwrap();
    let client = plain(&agent, &[]);
    let other = plain(&agent, &[]);
    let layer = || client.tracing_layer();
    let patch = |subscriber: Dispatch| {
        dispatcher::with_default(&subscriber, || {
            client.patch(["sqlx", "sea-orm", "tower-http", "scylla"])
        })
    };
    let info = || EnvFilter::new("info");

    let all = patch(registry().with(layer()).into());
    assert!(
        all.modules()
            .iter()
            .all(|line| line.status == PatchStatus::Active),
        "{all}"
    );
    // A filter of the formatter alone takes nothing away.
    let beside = fmt::layer().with_writer(std::io::sink).with_filter(info());
    let all = patch(registry().with(layer()).with(beside).into());
    assert!(
        all.modules()
            .iter()
            .all(|line| line.status == PatchStatus::Active),
        "{all}"
    );

    for (what, subscriber) in [
        (
            "inside",
            Dispatch::new(registry().with(info()).with(layer())),
        ),
        (
            "outside",
            Dispatch::new(registry().with(layer()).with(info())),
        ),
        (
            "of the layer",
            Dispatch::new(registry().with(layer().with_filter(LevelFilter::INFO))),
        ),
        (
            "of the layer, which another layer lets through",
            Dispatch::new(
                registry()
                    .with(layer().with_filter(LevelFilter::INFO))
                    .with(
                        fmt::layer()
                            .with_writer(std::io::sink)
                            .with_filter(LevelFilter::TRACE),
                    ),
            ),
        ),
    ] {
        let report = patch(subscriber);
        for module in ["sqlx", "tower-http", "scylla"] {
            assert!(is_filtered(&report, module), "{what}: {report}");
        }
        assert_eq!(status(&report, "sea-orm"), &PatchStatus::Active, "{what}");
        let table = report.to_string();
        let told = "filtered: it emits events of level debug, target sqlx::query, which ";
        assert!(table.contains(told), "{table}");
    }

    let (reloaded, _handle) = reload::Layer::new(layer());
    let report = patch(registry().with(reloaded).into());
    assert_eq!(status(&report, "sqlx"), &PatchStatus::Active);
    let (reloaded, _handle) = reload::Layer::new(layer());
    let report = patch(registry().with(reloaded).with(LevelFilter::INFO).into());
    assert!(is_filtered(&report, "sqlx"), "{report}");

    // Where the spans themselves come from, and nothing else.
    let targets = "off,aws_sdk_sqs=debug,mysql_async::conn=info,fred::trace::enabled=info";
    let subscriber = registry().with(EnvFilter::new(targets)).with(layer());
    let report = dispatcher::with_default(&subscriber.into(), || {
        client.patch(["aws-sdk", "mysql-async", "fred", "sea-orm"])
    });
    for module in ["aws-sdk", "mysql-async", "fred"] {
        assert_eq!(status(&report, module), &PatchStatus::Active, "{report}");
    }
    assert!(is_filtered(&report, "sea-orm"), "{report}");

    let some = patch(
        registry()
            .with(EnvFilter::new("info,sqlx=debug"))
            .with(layer())
            .into(),
    );
    assert_eq!(status(&some, "sqlx"), &PatchStatus::Active);
    assert!(is_filtered(&some, "tower-http"));

    let of_other = patch(registry().with(other.tracing_layer()).into());
    assert!(matches!(
        status(&of_other, "sqlx"),
        PatchStatus::NeedsLine { .. }
    ));
}

#[test]
fn to_ask_takes_nothing_from_what_comes_next() {
    let agent = LocalAgent::start().unwrap();
    let client = plain(&agent, &[]);
    let all = fmt::layer().with_writer(std::io::sink);
    let subscriber = registry()
        .with(client.tracing_layer().with_filter(LevelFilter::INFO))
        .with(all.with_filter(LevelFilter::TRACE));
    dispatcher::with_default(&subscriber.into(), || {
        assert!(is_filtered(&client.patch(["sqlx"]), "sqlx"));
        for _ in 0..3 {
            drop(info_span!("next"));
        }
    });
    assert_eq!(spans(&client, &agent).len(), 3);
}

/// A statement as sqlx tells it, and a span as sea-orm has it.
fn work() {
    let _root = info_span!("root").entered();
    debug!(target: "sqlx::query", summary = "SELECT 1", elapsed_secs = 0.25);
    let _orm = info_span!(target: "sea_orm::database", "sea_orm.find_all").entered();
}

fn names_of_work(client: &DDClient, agent: &LocalAgent) -> Vec<String> {
    let subscriber = Dispatch::new(registry().with(client.tracing_layer()));
    dispatcher::with_default(&subscriber, work);
    let mut names: Vec<_> = spans(client, agent)
        .into_iter()
        .map(|span| span.name)
        .collect();
    names.sort_unstable();
    names
}

#[test]
fn what_is_switched_off_leaves_no_spans() {
    for (variables, kept) in [
        (&[][..], &["root", "sea_orm.find_all", "sql.query"][..]),
        (
            &[("DD_TRACE_SQLX_ENABLED", "false")],
            &["root", "sea_orm.find_all"],
        ),
        (
            &[("DD_PATCH_MODULES", "sea_orm:false,sqlx:true")],
            &["root", "sql.query"],
        ),
        (&[("DD_PATCH_MODULES", "sqlalchemy:false")], &["root"]),
        // Only what is listed, where the client patches by itself.
        (
            &[
                ("DD_TRACE_PATCH", "true"),
                ("DD_TRACE_PATCH_MODULES", "sqlx,axum"),
            ],
            &["root", "sql.query"],
        ),
        (
            &[("DD_TRACE_PATCH_MODULES", "axum")],
            &["root", "sea_orm.find_all", "sql.query"],
        ),
        (&[("DD_TRACE_PATCH", "false")], &["root"]),
        (
            &[("DD_TRACE_PATCH", "perhaps")],
            &["root", "sea_orm.find_all", "sql.query"],
        ),
        (&[("DD_TRACE_ENABLED", "false")], &[]),
    ] {
        let agent = LocalAgent::start().unwrap();
        let client = plain(&agent, variables);
        assert_eq!(names_of_work(&client, &agent), kept, "{variables:?}");
    }
}

#[test]
fn code_adds_to_the_list_and_does_not_beat_a_switch() {
    let agent = LocalAgent::start().unwrap();
    let client = client(&agent, &[("DD_TRACE_SEA_ORM_ENABLED", "0")], |config| {
        config.tracing_patch(true).tracing_modules(["axum"])
    });
    let report = client.patch(["sqlx", "sea-orm"]);
    assert!(matches!(
        status(&report, "sqlx"),
        PatchStatus::NeedsLine { .. }
    ));
    let by = "DD_TRACE_SEA_ORM_ENABLED".to_owned();
    assert_eq!(status(&report, "sea-orm"), &PatchStatus::Off { by });
    assert_eq!(names_of_work(&client, &agent), ["root", "sql.query"]);
}

#[test]
fn what_is_not_patched_by_itself_is_patched_by_code() {
    let agent = LocalAgent::start().unwrap();
    let client = client(&agent, &[], |config| config.tracing_patch(false));
    client.patch(["sqlx"]);
    assert_eq!(names_of_work(&client, &agent), ["root", "sql.query"]);
}

#[test]
fn without_traces_nothing_is_patched() {
    let agent = LocalAgent::start().unwrap();
    for (variables, code, by) in [
        (&[("DD_TRACE_ENABLED", "false")], true, "DD_TRACE_ENABLED"),
        (
            &[("OTEL_TRACES_EXPORTER", "none")],
            true,
            "OTEL_TRACES_EXPORTER",
        ),
        (&[("", "")], false, "tracing_enabled"),
    ] {
        let client = client(&agent, variables, |config| match code {
            true => config,
            false => config.tracing_enabled(false),
        });
        let report = client.patch_all();
        let off = PatchStatus::Off { by: by.to_owned() };
        assert!(report.modules().len() > 20);
        assert!(
            report.modules().iter().all(|line| line.status == off),
            "{report}"
        );
    }
}

#[test]
fn panics_are_told_to_the_spans_that_they_happen_in() {
    let agent = LocalAgent::start().unwrap();
    let client = plain(&agent, &[]);
    client.patch(["panic"]);
    client.patch(["panic"]);
    // One that is caught before it leaves its span, in a span of another kind.
    let subscriber = Dispatch::new(registry().with(client.tracing_layer()));
    dispatcher::with_default(&subscriber, || {
        let _caught = info_span!("caught").entered();
        let quiet = client.trace("before");
        drop(quiet);
        catch_unwind(|| panic!("item {}", 7)).unwrap_err();
        drop(client.trace("after"));
    });
    // One that goes through two spans, and ends in a third.
    let outer = client.trace("outer");
    let gone = catch_unwind(AssertUnwindSafe(|| {
        let _middle = client.trace("middle");
        let _inner = client.trace("inner");
        panic!("all of it");
    }));
    gone.unwrap_err();
    drop(outer);
    // One that goes through a span that is not active.
    let gone = catch_unwind(AssertUnwindSafe(|| {
        let _aside = client.trace("aside").detach();
        panic!("without a span");
    }));
    gone.unwrap_err();
    let spans = spans(&client, &agent);
    let told = |name: &str| {
        let span = spans.iter().find(|span| span.name == name).unwrap();
        let tag = |key: &str| span.meta.get(key).cloned();
        (
            span.error,
            tag("error.type"),
            tag("error.message"),
            tag("error.stack"),
        )
    };
    let (error, kind, message, stack) = told("caught");
    assert_eq!(
        (error, kind.as_deref(), message.as_deref()),
        (1, Some("panic"), Some("item 7"))
    );
    assert!(stack.unwrap().starts_with(&format!("at {}:", file!())));
    for (name, panic) in [
        ("inner", "all of it"),
        ("middle", "all of it"),
        ("aside", "without a span"),
    ] {
        let (error, _, message, _) = told(name);
        assert_eq!((error, message.as_deref()), (1, Some(panic)), "{name}");
    }
    for name in ["before", "after", "outer"] {
        assert_eq!(told(name), (0, None, None, None), "{name}");
    }
}

/// What is logged about patches, with the thread that did.
fn logged() -> Receiver<(Option<String>, log::Level, String)> {
    struct Lines(Mutex<Sender<(Option<String>, log::Level, String)>>);

    impl log::Log for Lines {
        fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
            metadata.target() == "datadog"
        }

        fn log(&self, record: &log::Record<'_>) {
            if self.enabled(record.metadata()) {
                let thread = thread::current().name().map(str::to_owned);
                let line = (thread, record.level(), record.args().to_string());
                let _ = self.0.lock().unwrap().send(line);
            }
        }

        fn flush(&self) {}
    }

    let (sender, receiver) = mpsc::channel();
    log::set_boxed_logger(Box::new(Lines(Mutex::new(sender)))).unwrap();
    log::set_max_level(log::LevelFilter::Info);
    receiver
}

#[test]
fn a_client_that_patches_by_itself_says_so_once_and_tells_of_filters_later() {
    let lines = logged();
    let agent = LocalAgent::start().unwrap();
    let client = client(&agent, &[], |config| {
        config
            .tracing_patch(true)
            .tracing_modules(["sqlx", "panic", "nothing-like-it"])
    });
    let mut first = lines
        .try_iter()
        .filter(|(.., line)| line.contains("nothing-like-it"));
    let (_, level, line) = first.next().unwrap();
    assert_eq!(level, log::Level::Warn);
    assert!(line.starts_with("traced libraries:\nsqlx "), "{line}");
    assert_eq!(first.next(), None, "once");

    let layer = client.tracing_layer().with_filter(LevelFilter::INFO);
    dispatcher::with_default(&Dispatch::new(registry().with(layer)), || {
        drop(info_span!("first"));
        drop(info_span!("second"));
    });
    expect_filtered(&lines);

    // Names that switch nothing, where it does not patch by itself.
    plain(&agent, &[("DD_PATCH_MODULES", "reddis:false,sqlx:true")]);
    let (_, level, line) = loop {
        let line = lines.recv_timeout(LIMIT).unwrap();
        if line.2.contains("reddis") {
            break line;
        }
    };
    assert_eq!(level, log::Level::Warn);
    let told = "traced libraries:\nreddis  unknown; redis is near (in DD_PATCH_MODULES)\n";
    assert_eq!(line, told);

    // Filters are told as well where code asks before there is a subscriber; the whole of it has one.
    let client = plain(&agent, &[]);
    let layer = client.tracing_layer();
    client.patch(["sqlx", "panic"]);
    let subscriber = Dispatch::new(registry().with(layer).with(LevelFilter::INFO));
    dispatcher::with_default(&subscriber, || drop(info_span!("first")));
    expect_filtered(&lines);
}

/// Waits for the report of a layer: it is about `sqlx`, and nothing else.
fn expect_filtered(lines: &Receiver<(Option<String>, log::Level, String)>) {
    let (_, level, line) = loop {
        let line = lines.recv_timeout(LIMIT).unwrap();
        if line.0.as_deref() == Some("datadog-patch") {
            break line;
        }
    };
    assert_eq!(level, log::Level::Warn);
    let told = "filtered: it emits events of level debug, target sqlx::query, which ";
    assert!(line.contains(told) && line.lines().count() == 2, "{line}");
}
