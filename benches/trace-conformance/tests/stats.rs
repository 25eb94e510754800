//! Statistics have the sketches of `libdd-ddsketch` and the resources of `libdd-trace-obfuscation`.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::time::{Duration, SystemTime};

use datadog_config::DDConfig;
use datadog_local_agent::LocalAgent;
use datadog_trace::Tracer;
use libdd_ddsketch::{DDSketch, pb};
use libdd_trace_obfuscation::obfuscate::obfuscate_resource_for_stats;
use libdd_trace_obfuscation::obfuscation_config::SqlConfig;
use proptest::prelude::*;
use rmpv::Value;
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(20);

/// Runs `work` with a tracer whose agent takes statistics. The agent.
fn with_stats(work: impl FnOnce(&Tracer)) -> LocalAgent {
    let agent = LocalAgent::start().unwrap();
    agent.set_info([
        ("client_drop_p0s", json!(true)),
        ("obfuscation_version", json!(1)),
    ]);
    let builder = DDConfig::builder().environment([("", "")]);
    let config = builder
        .agent_url(agent.url())
        .stats_resource_cardinality_limit(100_000)
        .build()
        .unwrap();
    let tracer = Tracer::start(&config).unwrap();
    // Asks the agent what it takes.
    tracer.flush(LIMIT);
    work(&tracer);
    tracer.flush(LIMIT);
    assert!(agent.refusals().is_empty(), "{:?}", agent.refusals());
    agent
}

/// The sketches as they were sent, of spans without and with an error, in the order of the groups.
fn sent_sketches(agent: &LocalAgent) -> Vec<[Vec<u8>; 2]> {
    let field = |value: &Value, name: &str| {
        let fields = value.as_map().unwrap().iter();
        let mut of_name = fields.filter(|(key, _)| key.as_str() == Some(name));
        of_name.next().unwrap().1.clone()
    };
    let list = |value: Value| value.as_array().unwrap().clone();
    let requests = agent.requests().into_iter();
    requests
        .filter(|request| request.path == "/v0.6/stats")
        .map(|request| rmpv::decode::read_value(&mut &*request.body).unwrap())
        .flat_map(|payload| list(field(&payload, "Stats")))
        .flat_map(|bucket| list(field(&bucket, "Stats")))
        .map(|group| {
            ["OkSummary", "ErrorSummary"]
                .map(|name| field(&group, name).as_slice().unwrap().to_vec())
        })
        .collect()
}

/// Their sketch with the mapping of the agent's own statistics.
fn their_sketch(durations: &[u64]) -> Vec<u8> {
    let mapping = pb::IndexMapping {
        gamma: 1.01 / 0.99,
        index_offset: 0.0,
        interpolation: 0,
    };
    let empty = pb::DdSketch {
        mapping: Some(mapping),
        ..pb::DdSketch::default()
    };
    let mut sketch = DDSketch::from_pb(empty).unwrap();
    for duration in durations {
        sketch.add(*duration as f64).unwrap();
    }
    sketch.encode_to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn sketches_are_the_same_bytes(
        durations in proptest::collection::vec(
            prop_oneof![Just(0), 1..100u64, 1_000..10_000_000_000u64, 1..u64::MAX / 4],
            1..300,
        ),
        errors in 0..300usize,
    ) {
        let (failed, ok) = durations.split_at(errors.min(durations.len()));
        let agent = with_stats(|tracer| {
            for (number, duration) in durations.iter().enumerate() {
                let mut span = tracer.trace("work");
                if number < failed.len() {
                    span.set_error(&std::fmt::Error);
                }
                let start = SystemTime::UNIX_EPOCH + Duration::from_nanos(1);
                span.set_start_time(start);
                span.finish_at(start + Duration::from_nanos(*duration));
            }
        });
        let sent = sent_sketches(&agent);
        // Spans may end on both sides of the border of two buckets; then there are two groups.
        prop_assume!(sent.len() == 1);
        prop_assert_eq!(&sent[0][0], &their_sketch(ok));
        prop_assert_eq!(&sent[0][1], &their_sketch(failed));
    }
}

/// Obfuscates all resources at once: ours, in the order of the resources.
fn our_resources(span_type: &'static str, resources: &[String]) -> Vec<String> {
    let agent = with_stats(|tracer| {
        for (number, resource) in resources.iter().enumerate() {
            tracer.traced(number.to_string(), |span| {
                span.set_type(span_type).set_resource(resource.clone());
            });
        }
    });
    let mut groups = agent.stats_groups();
    groups.sort_by_key(|group| group.key.name.parse::<usize>().unwrap());
    groups.into_iter().map(|group| group.key.resource).collect()
}

fn their_resource(span_type: &str, resource: &str) -> String {
    obfuscate_resource_for_stats(span_type, resource, None, &SqlConfig::default()).unwrap()
}

fn assert_same(span_type: &'static str, resources: &[String]) {
    let ours = our_resources(span_type, resources);
    assert_eq!(ours.len(), resources.len());
    let mut different = Vec::new();
    for (resource, ours) in resources.iter().zip(ours) {
        let theirs = their_resource(span_type, resource);
        if ours != theirs {
            different.push(format!(
                "{resource:?}\n  ours   {ours:?}\n  theirs {theirs:?}"
            ));
        }
    }
    assert!(
        different.is_empty(),
        "{} differ:\n{}",
        different.len(),
        different.join("\n")
    );
}

#[test]
fn statements_of_all_kinds_are_the_same() {
    let statements = [
        "SELECT * FROM users WHERE id = 42",
        "select a, b as c, count(*) AS n from t where x in (1, 2, 3) group by a having n > 3 order by b desc limit 10 offset 20;",
        "INSERT INTO orders (id, name, price) VALUES (1, 'pen', 1.50), (2, 'it''s', -2e10)",
        "UPDATE users SET name = 'x', active = TRUE, note = NULL WHERE id = 7 AND email LIKE '%@example.com'",
        "DELETE FROM sessions WHERE expires < '2026-01-01' OR token = \"abc\"",
        "SELECT u.name, o.id FROM users u JOIN orders o ON o.user_id = u.id WHERE o.total >= 99.95 AND u.age <> 30",
        "SELECT `order`.`id` FROM `order` WHERE `order`.`state` = 'new'",
        "SELECT \"id\" FROM \"Users\" WHERE \"Users\".\"name\" = 'x'",
        "-- a comment\nSELECT 1 /* another */ FROM dual",
        "CREATE TABLE t (id int, name varchar(255))",
        "BEGIN",
        "SAVEPOINT sp_1",
        "SELECT * FROM (SELECT id FROM t WHERE a = 1) x WHERE id IN (SELECT b FROM c)",
        "SELECT * FROM t WHERE a = ? AND b IN (?, ?, ?)",
        "SELECT * FROM t WHERE a = $1 AND b = $2",
        "SELECT * FROM t WHERE a = :name AND b = @other",
        "SELECT * FROM t WHERE a = %s AND b = %(name)s",
        "SELECT a::text, b::int FROM t",
        "SELECT $$it's$$, $tag$ x $tag$",
        "SELECT 0x1f, .5, 5., 1e-7",
        "SELECT !a, a != b, a <= b, a >= b FROM t",
        "SELECT a % 2, a & 1, a | 1, a ^ 2 FROM t",
        "{call sp_find(?, ?)}",
        "INSERT INTO t (m) VALUES ({'a': 1})",
        "SELECT ARRAY[1, 2, 3]",
        "TRUNCATE TABLE t",
        "select naïve from café where x = 'é'",
        "WITH x AS (SELECT 1) SELECT * FROM x",
        "SELECT TOP 10 [a] FROM [t] WHERE [a] = 1",
        "SELECT * FROM t WHERE d BETWEEN '2020-01-01' AND '2021-01-01'",
    ];
    assert_same("sql", &statements.map(str::to_owned));
}

/// Where the crate is not like the agent itself, we are (datadog-agent: `pkg/obfuscate/sql_tokenizer.go`).
#[test]
fn known_differences_are_the_agents() {
    let (statement, ours, theirs) = (
        "SELECT a <=> b FROM t",
        "SELECT a <=> b FROM t",
        "SELECT a <= > b FROM t",
    );
    assert_eq!(our_resources("sql", &[statement.to_owned()]), [ours]);
    assert_eq!(
        their_resource("sql", statement),
        theirs,
        "mended: move it to those that are the same"
    );
}

/// Statements as programs write them.
fn statement() -> impl Strategy<Value = String> {
    let name = || {
        prop_oneof![
            "[a-z][a-z_]{0,8}",
            "[A-Z][a-z]{1,6}[0-9]{1,3}",
            "[a-z]{2,4}\\.[a-z]{2,4}",
            Just("`quoted`".to_owned())
        ]
        .prop_filter("a keyword is no name", |name| {
            !KEYWORDS.contains(&&*name.to_uppercase())
        })
    };
    let value = || {
        prop_oneof![
            "[1-9][0-9]{0,5}",
            "-[1-9][0-9]{0,3}\\.[0-9]{1,3}",
            "'[a-z 0-9%]{0,12}'",
            Just("NULL".to_owned()),
            Just("true".to_owned()),
            Just("?".to_owned()),
            "\\$[1-9]",
        ]
    };
    let operator = prop_oneof![
        Just("="),
        Just("<>"),
        Just(">="),
        Just("<"),
        Just("LIKE"),
        Just("!=")
    ];
    let condition = (name(), operator, value())
        .prop_map(|(name, operator, value)| format!("{name} {operator} {value}"));
    let list = (name(), proptest::collection::vec(value(), 1..5))
        .prop_map(|(name, values)| format!("{name} IN ({})", values.join(", ")));
    let conditions = proptest::collection::vec(prop_oneof![condition, list], 1..4)
        .prop_map(|all| all.join(" AND "));
    let row = || {
        proptest::collection::vec(value(), 1..4)
            .prop_map(|values| format!("({})", values.join(",")))
    };
    let comment = proptest::option::of(prop_oneof![Just("/* why 5 */ "), Just("-- note '\n")]);
    prop_oneof![
        (
            comment,
            proptest::collection::vec(name(), 1..4),
            name(),
            conditions.clone()
        )
            .prop_map(|(comment, columns, table, conditions)| format!(
                "{}SELECT {} FROM {table} WHERE {conditions}",
                comment.unwrap_or_default(),
                columns.join(", ")
            )),
        (
            name(),
            proptest::collection::vec(name(), 1..4),
            proptest::collection::vec(row(), 1..4)
        )
            .prop_map(|(table, columns, rows)| format!(
                "INSERT INTO {table} ({}) VALUES {}",
                columns.join(", "),
                rows.join(", ")
            )),
        (name(), name(), value(), conditions).prop_map(
            |(table, column, value, conditions)| format!(
                "UPDATE {table} SET {column} = {value} WHERE {conditions}"
            )
        ),
    ]
}

/// Names that are none.
const KEYWORDS: [&str; 14] = [
    "AS", "NULL", "TRUE", "FALSE", "IN", "ON", "SELECT", "FROM", "SET", "AND", "OR", "LIKE",
    "JOIN", "BEGIN",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn generated_statements_are_the_same(statements in proptest::collection::vec(statement(), 100)) {
        assert_same("sql", &statements);
    }

    #[test]
    fn redis_commands_are_the_same(
        commands in proptest::collection::vec("([a-zA-Z]{2,6}|client|CONFIG|script)( [a-z:0-9\"é.]{1,6}| list| GET...|  ){0,3}(\n ?[a-z]{3}( [a-z]{1,4})?){0,4}", 100),
    ) {
        assert_same("redis", &commands);
    }
}
