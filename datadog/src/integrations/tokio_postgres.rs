//! Queries of tokio-postgres 0.7.

use std::fmt;
use std::future::Future;

use datadog_trace::{DetachedSpan, Span, SpanKind, obfuscate_sql};
use tokio_postgres::config::Host;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Config, Error, GenericClient, Row, SimpleQueryMessage};

use super::module::ModuleTracer;
use super::watch::watch;
use crate::DDClient;
use crate::patch::ModuleId;

/// A client or a transaction of `tokio-postgres`, with a span for each query.
///
/// ```
/// # async fn total(client: &datadog::DDClient, postgres: &tokio_postgres::Client) -> Result<i64, tokio_postgres::Error> {
/// let orders = client.postgres(postgres);
/// let row = orders.query_one("SELECT sum(total) FROM orders WHERE buyer = $1", &[&17]).await?;
/// # row.try_get(0) }
/// ```
///
/// The span is a child of the active span and is named `postgresql.query`; its resource is the query without values, comments and
/// aliases. Parameters are not sent. An error of the server brings its SQLSTATE as `error.type`, and its message without the
/// detail, which has values.
pub struct PostgresClient<'a, C> {
    client: &'a C,
    config: Option<&'a Config>,
    tracer: ModuleTracer,
}

impl DDClient {
    /// Puts queries into spans: see [`PostgresClient`].
    pub fn postgres<'a, C: GenericClient + Sync>(&self, client: &'a C) -> PostgresClient<'a, C> {
        PostgresClient {
            client,
            config: None,
            tracer: ModuleTracer::new(self, ModuleId::TokioPostgres),
        }
    }
}

impl<'a, C> PostgresClient<'a, C> {
    /// Says what the client is connected to, by the settings that it was connected with: `out.host`,
    /// `network.destination.port` and `db.name`. Of several hosts the first is told, and none that is a path.
    #[must_use]
    pub fn connected_to(mut self, config: &'a Config) -> Self {
        self.config = Some(config);
        self
    }
}

impl<C: GenericClient + Sync> PostgresClient<'_, C> {
    /// Like [`tokio_postgres::Client::query`].
    ///
    /// # Errors
    ///
    /// Those of the query.
    pub async fn query(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        let look = |span: &mut Span, rows: &Result<Vec<Row>, Error>| {
            counted(span, "db.row_count", rows, |rows| rows.len() as u64);
        };
        watch(self.start(sql), self.client.query(sql, params), look).await
    }

    /// Like [`tokio_postgres::Client::query_one`].
    ///
    /// # Errors
    ///
    /// Those of the query, and one for any number of rows but one.
    pub async fn query_one(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Row, Error> {
        let look = |span: &mut Span, row: &Result<Row, Error>| {
            counted(span, "db.row_count", row, |_| 1);
        };
        watch(self.start(sql), self.client.query_one(sql, params), look).await
    }

    /// Like [`tokio_postgres::Client::query_opt`].
    ///
    /// # Errors
    ///
    /// Those of the query, and one for more than one row.
    pub async fn query_opt(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>, Error> {
        let look = |span: &mut Span, row: &Result<Option<Row>, Error>| {
            counted(span, "db.row_count", row, |row| row.iter().len() as u64);
        };
        watch(self.start(sql), self.client.query_opt(sql, params), look).await
    }

    /// Like [`tokio_postgres::Client::execute`].
    ///
    /// # Errors
    ///
    /// Those of the statement.
    pub async fn execute(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<u64, Error> {
        let look = |span: &mut Span, rows: &Result<u64, Error>| {
            counted(span, "db.rows_affected", rows, |rows| *rows);
        };
        watch(self.start(sql), self.client.execute(sql, params), look).await
    }

    /// Like [`tokio_postgres::Client::batch_execute`].
    ///
    /// # Errors
    ///
    /// That of the first statement that fails.
    pub async fn batch_execute(&self, sql: &str) -> Result<(), Error> {
        self.run(sql, self.client.batch_execute(sql)).await
    }

    /// Like [`tokio_postgres::Client::simple_query`].
    ///
    /// # Errors
    ///
    /// That of the first statement that fails.
    pub async fn simple_query(&self, sql: &str) -> Result<Vec<SimpleQueryMessage>, Error> {
        self.run(sql, self.client.simple_query(sql)).await
    }

    /// Runs anything else in the span of the query `sql`, such as one that was prepared: a statement does not tell its text.
    ///
    /// # Errors
    ///
    /// Those of the query.
    pub async fn run<T>(
        &self,
        sql: &str,
        query: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        watch(self.start(sql), query, |span, result| {
            if let Err(error) = result {
                failed(span, error);
            }
        })
        .await
    }

    fn start(&self, sql: &str) -> DetachedSpan {
        let Some(tracer) = self.tracer.get() else {
            return Span::none().detach();
        };
        let mut span = tracer.trace("postgresql.query");
        span.set_resource(obfuscate_sql(sql))
            .set_type("sql")
            .set_kind(SpanKind::Client)
            .set_tag("component", "tokio-postgres")
            .set_tag("db.system", "postgresql");
        if let Some(config) = self.config {
            write_place(&mut span, config);
        }
        span.detach()
    }
}

/// PostgreSQL's own port, where none is said (libpq: "Parameter Key Words").
const PORT: u16 = 5432;

fn write_place(span: &mut Span, config: &Config) {
    if let Some(Host::Tcp(host)) = config.get_hosts().first() {
        let port = config.get_ports().first().unwrap_or(&PORT);
        span.set_tag("out.host", host)
            .set_tag("network.destination.port", *port);
    }
    if let Some(name) = config.get_dbname() {
        span.set_tag("db.name", name);
    }
}

fn counted<T>(
    span: &mut Span,
    tag: &'static str,
    result: &Result<T, Error>,
    count: impl FnOnce(&T) -> u64,
) {
    match result {
        Ok(result) => _ = span.set_tag(tag, count(result)),
        Err(error) => failed(span, error),
    }
}

fn failed(span: &mut Span, error: &Error) {
    match error.as_db_error() {
        Some(of_server) => {
            span.set_failure(of_server.code().code(), of_server.message());
        }
        None => _ = span.set_error(error),
    }
}

impl<C> fmt::Debug for PostgresClient<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresClient").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use datadog_config::DDConfig;
    use datadog_local_agent::LocalAgent;

    use super::*;

    #[test]
    fn settings_tell_host_port_and_name_and_no_more() {
        let agent = LocalAgent::start().unwrap();
        let config = DDConfig::builder().environment([("", "")]);
        let config = config.agent_url(agent.url()).build().unwrap();
        let client = DDClient::new(config).unwrap();
        for settings in [
            "host=db.local port=6432 user=me password=hunter2 dbname=shop",
            "host=db.local user=me",
            "host=/run/postgresql dbname=shop",
        ] {
            let mut span = client.trace("query");
            write_place(&mut span, &settings.parse().unwrap());
        }
        client.flush(Duration::from_secs(20));
        let spans = agent.spans();
        let told: Vec<_> = spans
            .iter()
            .map(|span| {
                let tag = |key| span.meta.get(key).map(String::as_str);
                let port = span.metrics.get("network.destination.port").copied();
                (tag("out.host"), port, tag("db.name"))
            })
            .collect();
        let (host, name) = (Some("db.local"), Some("shop"));
        let expected = [
            (host, Some(6_432.0), name),
            (host, Some(5_432.0), None),
            (None, None, name),
        ];
        assert_eq!(told, expected);
        assert!(!format!("{spans:?}").contains("hunter2"));
    }
}
