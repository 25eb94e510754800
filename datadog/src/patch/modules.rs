//! The table of modules: what can be traced, by which names, and in which way.

use datadog_config::LogLevel;

use super::report::PatchStatus;
use crate::DDClient;

/// A module. The name that it goes by in code, and what `patch` knows of it.
#[derive(Debug)]
pub(crate) struct Module {
    pub(crate) id: ModuleId,
    pub(crate) name: &'static str,
    /// Other names of the same.
    pub(super) others: &'static [&'static str],
    pub(super) way: Way,
    /// What else has to be so.
    pub(super) note: &'static str,
}

/// How there are spans of a module.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    /// The layer reads what the library emits with `tracing`.
    Layer(Emitted),
    /// A hook of the process, which is installed once: whether that went well.
    Hook(Feature, fn(&DDClient) -> bool),
    /// A line of the program's with a type of this crate.
    Line(Feature, &'static str),
}

/// What a library emits: where a filter may catch it.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(
    not(feature = "tracing-subscriber"),
    expect(dead_code, reason = "there is nothing that reads it")
)]
pub(super) struct Emitted {
    pub(super) target: &'static str,
    pub(super) level: LogLevel,
    /// Whether it is a span, and no event.
    pub(super) is_span: bool,
}

/// A feature of this crate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Feature {
    pub(super) name: &'static str,
    /// Whether this program was compiled with it.
    pub(super) compiled: bool,
}

impl Feature {
    pub(super) fn missing(self) -> Option<PatchStatus> {
        let Self { name, compiled } = self;
        (!compiled).then_some(PatchStatus::FeatureMissing { feature: name })
    }
}

macro_rules! feature {
    ($name:literal) => {
        Feature {
            name: $name,
            compiled: cfg!(feature = $name),
        }
    };
}

const TRACING: Feature = feature!("tracing");
const LOGS: Feature = feature!("logs");
const AXUM: Feature = feature!("axum");
const ACTIX_WEB: Feature = feature!("actix-web");
const TOWER: Feature = feature!("tower");
const REQWEST: Feature = feature!("reqwest");
const UREQ: Feature = feature!("ureq");
const REDIS: Feature = feature!("redis");
const TOKIO_POSTGRES: Feature = feature!("tokio-postgres");
const DIESEL: Feature = feature!("diesel");

// The lines, with the types that they add.
const AXUM_LINE: &str = "integrations::ServerLayer, .layer(client.axum_layer()) on the router";
const ACTIX_WEB_LINE: &str =
    "integrations::ActixWebMiddleware, .wrap(client.actix_web_middleware()) on the App";
const TOWER_LINE: &str = "integrations::ServerLayer, .layer(client.tower_server_layer())";
const TOWER_CLIENT_LINE: &str = "integrations::ClientLayer, .layer(client.tower_client_layer())";
const REQWEST_LINE: &str = "integrations::ReqwestMiddleware, .with(client.reqwest_middleware())";
const UREQ_LINE: &str = "integrations::UreqMiddleware, .middleware(client.ureq_middleware())";
const REDIS_LINE: &str = "integrations::RedisConnection, client.redis_connection(connection)";
const POSTGRES_LINE: &str = "integrations::PostgresClient, client.postgres(&postgres)";
const LOG_LINE: &str = "DDLogHandler, client.log_handler().install()";
const MESSAGES: &str =
    "client.inject(…) where a message is sent, client.extract(…) where it is taken";

const fn span(target: &'static str, level: LogLevel) -> Way {
    Way::Layer(Emitted {
        target,
        level,
        is_span: true,
    })
}

const fn event(target: &'static str, level: LogLevel) -> Way {
    Way::Layer(Emitted {
        target,
        level,
        is_span: false,
    })
}

#[cfg(feature = "diesel")]
fn install_diesel(client: &DDClient) -> bool {
    client.instrument_diesel()
}

#[cfg(not(feature = "diesel"))]
fn install_diesel(_: &DDClient) -> bool {
    false
}

fn install_panics(_: &DDClient) -> bool {
    datadog_trace::fail_spans_on_panic();
    true
}

macro_rules! modules {
    ($( $id:ident = $name:literal $(| $other:literal)*: $way:expr $(, $note:literal)?; )+) => {
        /// Names a module.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum ModuleId { $( $id, )+ }

        /// Every module, in the order of [`ModuleId`].
        pub(crate) static MODULES: &[Module] = &[$( Module {
            id: ModuleId::$id,
            name: $name,
            others: &[$( $other, )*],
            way: $way,
            note: concat!($( $note )?),
        }, )+];
    };
}

// Targets and levels are those of the versions that `subscriber/rules.rs` names.
modules! {
    Axum = "axum": Way::Line(AXUM, AXUM_LINE);
    Tower = "tower" | "hyper": Way::Line(TOWER, TOWER_LINE);
    Tonic = "tonic" | "grpc": Way::Line(TOWER, TOWER_LINE);
    HyperClient = "hyper-client" | "tower-client": Way::Line(TOWER, TOWER_CLIENT_LINE);
    TowerHttp = "tower-http": span("tower_http::trace::make_span", LogLevel::Debug), "with its TraceLayer, unless a layer of this crate tells the same";
    AxumTracingOpentelemetry = "axum-tracing-opentelemetry": span("otel::tracing", LogLevel::Trace),
        "unless a layer of this crate tells the same";
    ActixWeb = "actix-web" | "actix": Way::Line(ACTIX_WEB, ACTIX_WEB_LINE);
    TracingActixWeb = "tracing-actix-web": span("tracing_actix_web::root_span_builder", LogLevel::Info),
        "unless the middleware of this crate tells the same";
    Poem = "poem": span("poem::middleware::tracing_mw", LogLevel::Info), "with its Tracing middleware";
    Warp = "warp": span("warp::filters::trace", LogLevel::Info), "with its trace filter";
    Reqwest = "reqwest" | "reqwest-middleware": Way::Line(REQWEST, REQWEST_LINE);
    ReqwestTracing = "reqwest-tracing": span("reqwest_tracing::reqwest_otel_span_builder", LogLevel::Info),
        "unless the middleware of this crate tells the same";
    Ureq = "ureq": Way::Line(UREQ, UREQ_LINE);
    Sqlx = "sqlx": event("sqlx::query", LogLevel::Debug), "for which database, says DDTracingLayer::sqlx_database; to be off beside sqlx-datadog or sqlx-tracing, which tell the same";
    SeaOrm = "sea-orm": span("sea_orm::database::db_connection", LogLevel::Info), "with its feature tracing-spans";
    Diesel = "diesel" | "diesel-async": Way::Hook(DIESEL, install_diesel), "for connections that are opened later";
    TokioPostgres = "tokio-postgres" | "postgres": Way::Line(TOKIO_POSTGRES, POSTGRES_LINE);
    Redis = "redis" | "redis-rs": Way::Line(REDIS, REDIS_LINE);
    Fred = "fred": span("fred::trace::enabled", LogLevel::Info), "with its feature partial-tracing and TracingConfig::enabled";
    MysqlAsync = "mysql-async": span("mysql_async::conn::routines::query", LogLevel::Info), "with its feature tracing";
    Clickhouse = "clickhouse": span("clickhouse::query", LogLevel::Info);
    Scylla = "scylla": span("scylla::observability::driver_tracing", LogLevel::Trace);
    Mongodb = "mongodb": event("mongodb::command", LogLevel::Debug), "with its feature tracing-unstable";
    AwsSdk = "aws-sdk" | "aws-sdk-rust":
        span("aws_sdk_sqs::operation", LogLevel::Debug), "here of SQS: each service has a target of its own";
    AsyncGraphql = "async-graphql": span("async_graphql::graphql", LogLevel::Info), "with its Tracing extension";
    Rdkafka = "rdkafka": Way::Line(TRACING, MESSAGES), "active by either of these calls, if those are its messages";
    Lapin = "lapin": Way::Line(TRACING, MESSAGES), "active by either of these calls, if those are its messages";
    Panic = "panic" | "panics": Way::Hook(TRACING, install_panics);
    Log = "log": Way::Line(LOGS, LOG_LINE), "or the layer for tracing, with tracing-log";
}

/// Names of Datadog's other libraries, mostly of Python's, for what does the same work here.
pub(super) static GROUPS: &[(&[&str], &[ModuleId], &str)] = {
    use ModuleId::*;
    &[
        (
            &[
                "django",
                "flask",
                "fastapi",
                "starlette",
                "bottle",
                "falcon",
                "pyramid",
                "sanic",
                "tornado",
                "aiohttp",
                "cherrypy",
            ],
            &[Axum, ActixWeb, TracingActixWeb, Poem, Warp, TowerHttp],
            "one of Rust's web servers",
        ),
        (
            &["psycopg2", "psycopg", "asyncpg"],
            &[TokioPostgres, Sqlx, Diesel],
            "one of Rust's clients of PostgreSQL",
        ),
        (
            &["requests", "httpx", "urllib3", "urllib", "httplib"],
            &[Reqwest],
            "Rust's client of HTTP",
        ),
        (
            &["botocore", "boto", "boto3", "aiobotocore"],
            &[AwsSdk],
            "Rust's client of AWS",
        ),
        (
            &["kafka", "confluent-kafka", "aiokafka"],
            &[Rdkafka],
            "Rust's client of Kafka",
        ),
        (&["kombu", "pika"], &[Lapin], "Rust's client of AMQP"),
        (
            &["mysql", "mysqldb", "pymysql", "aiomysql"],
            &[MysqlAsync, Sqlx, Diesel],
            "one of Rust's clients of MySQL",
        ),
        (
            &["sqlite3", "sqlite"],
            &[Sqlx, Diesel],
            "one of Rust's clients of SQLite",
        ),
        (
            &["sqlalchemy"],
            &[SeaOrm, Sqlx, Diesel],
            "one of Rust's mappers of objects",
        ),
        (
            &["aredis", "aioredis", "yaaredis", "rediscluster"],
            &[Redis, Fred],
            "one of Rust's clients of Redis",
        ),
        (
            &["pymongo", "mongoengine"],
            &[Mongodb],
            "Rust's client of MongoDB",
        ),
        (&["cassandra"], &[Scylla], "Rust's client of Cassandra"),
        (
            &["graphql", "graphene"],
            &[AsyncGraphql],
            "Rust's server of GraphQL",
        ),
        (
            &["logging", "loguru", "structlog"],
            &[Log],
            "Rust's facade for logs",
        ),
    ]
};

impl ModuleId {
    pub(crate) fn info(self) -> &'static Module {
        &MODULES[self as usize]
    }

    /// The bit of the module in a set.
    #[inline]
    pub(super) const fn bit(self) -> u64 {
        1 << self as u64
    }

    /// What an option may call the module: its own names, then those of the groups that it is in.
    pub(super) fn names(self) -> impl Iterator<Item = &'static str> {
        let module = self.info();
        let groups = GROUPS
            .iter()
            .filter(move |(_, ids, _)| ids.contains(&self))
            .flat_map(|(names, ..)| *names);
        [module.name]
            .into_iter()
            .chain(module.others.iter().copied())
            .chain(groups.copied())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_name_means_one_thing() {
        let own = MODULES
            .iter()
            .flat_map(|module| module.others.iter().chain([&module.name]));
        let groups = GROUPS.iter().flat_map(|(names, ..)| *names);
        let names: Vec<_> = own.chain(groups).collect();
        let different: BTreeSet<_> = names.iter().collect();
        assert_eq!(names.len(), different.len());
        assert!(names.iter().all(|name| !name.contains('_')), "{names:?}");
    }

    #[test]
    fn modules_have_a_place_and_a_bit() {
        for module in MODULES {
            assert!(std::ptr::eq(module.id.info(), module));
        }
        const { assert!(MODULES.len() <= u64::BITS as usize) };
    }
}
