//! Commands of redis 1.

#[cfg(feature = "redis-tokio")]
mod asynchronous;
mod packed;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use datadog_trace::{Span, SpanKind, quantize_redis};
use redis::{
    Arg, Cmd, ConnectionAddr, ConnectionInfo, ConnectionLike, RedisError, RedisResult, ServerError,
    Value,
};

use super::module::ModuleTracer;
use crate::DDClient;
use crate::patch::ModuleId;

/// A connection to Redis, blocking or with the feature `redis-tokio` asynchronous, with a span for each command and each pipeline.
///
/// ```
/// use redis::TypedCommands;
///
/// # fn visits(client: &datadog::DDClient, connection: redis::Connection) -> redis::RedisResult<isize> {
/// let mut connection = client.redis_connection(connection);
/// connection.incr("visits", 1) // and every other command
/// # }
/// ```
///
/// The span is a child of the active span and is named `redis.command`; its resource is the name of the command, or the names of
/// the first three of a pipeline. Keys and values are not sent.
#[derive(Clone)]
pub struct RedisConnection<C> {
    inner: C,
    place: Option<Place>,
    tracer: ModuleTracer,
}

impl DDClient {
    /// Puts the commands of a connection into spans: see [`RedisConnection`].
    pub fn redis_connection<C>(&self, connection: C) -> RedisConnection<C> {
        RedisConnection {
            inner: connection,
            place: None,
            tracer: ModuleTracer::new(self, ModuleId::Redis),
        }
    }
}

/// Host and port.
#[derive(Clone)]
struct Place(Arc<str>, u16);

impl<C> RedisConnection<C> {
    /// Says what the connection is to, by the client's [`get_connection_info`](redis::Client::get_connection_info):
    /// `out.host` and `network.destination.port`. A path is not told.
    #[must_use]
    pub fn connected_to(mut self, info: &ConnectionInfo) -> Self {
        self.place = match info.addr() {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
                Some(Place(host.as_str().into(), *port))
            }
            _ => None,
        };
        self
    }

    /// The connection itself, for what has no span.
    pub fn inner_mut(&mut self) -> &mut C {
        &mut self.inner
    }

    /// The connection without spans.
    pub fn into_inner(self) -> C {
        self.inner
    }

    /// `commands` has each with its first arguments in a line.
    fn start(&self, commands: impl FnOnce() -> String, database: i64) -> Span {
        let Some(tracer) = self.tracer.get() else {
            return Span::none();
        };
        let mut span = tracer.trace("redis.command");
        span.set_resource(quantize_redis(&commands()))
            .set_type("redis")
            .set_kind(SpanKind::Client)
            .set_tag("component", "redis")
            .set_tag("db.system", "redis")
            .set_tag("db.redis.database_index", database);
        if let Some(Place(host, port)) = &self.place {
            span.set_tag("out.host", &**host)
                .set_tag("network.destination.port", *port);
        }
        span
    }
}

impl<C: ConnectionLike> ConnectionLike for RedisConnection<C> {
    fn req_packed_command(&mut self, cmd: &[u8]) -> RedisResult<Value> {
        let mut span = self.start(|| packed::commands(cmd), self.inner.get_db());
        let answer = self.inner.req_packed_command(cmd);
        answered(&mut span, &answer);
        answer
    }

    fn req_packed_commands(
        &mut self,
        cmd: &[u8],
        offset: usize,
        count: usize,
    ) -> RedisResult<Vec<Value>> {
        let mut span = self.start(|| packed::commands(cmd), self.inner.get_db());
        let answers = self.inner.req_packed_commands(cmd, offset, count);
        all_answered(&mut span, &answers);
        answers
    }

    fn req_command(&mut self, cmd: &Cmd) -> RedisResult<Value> {
        let mut span = self.start(|| command(cmd), self.inner.get_db());
        let answer = self.inner.req_command(cmd);
        answered(&mut span, &answer);
        answer
    }

    fn get_db(&self) -> i64 {
        self.inner.get_db()
    }

    fn supports_pipelining(&self) -> bool {
        self.inner.supports_pipelining()
    }

    fn check_connection(&mut self) -> bool {
        self.inner.check_connection()
    }

    fn is_open(&self) -> bool {
        self.inner.is_open()
    }
}

/// The name of a command and its first argument, which may belong to it.
fn command(cmd: &Cmd) -> String {
    let words = cmd.args_iter().take(2).map(|arg| match arg {
        Arg::Simple(word) => packed::word(word),
        _ => String::new(),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// What a server says of a command that it does not know, before the arguments (redis: `src/server.c`).
const ARGUMENTS: &str = ", with args beginning with";

fn answered(span: &mut Span, answer: &RedisResult<Value>) {
    match answer {
        Ok(value) => refused(span, std::slice::from_ref(value)),
        Err(error) => failed(span, error),
    }
}

fn all_answered(span: &mut Span, answers: &RedisResult<Vec<Value>>) {
    match answers {
        Ok(answers) => refused(span, answers),
        Err(error) => failed(span, error),
    }
}

fn refused(span: &mut Span, answers: &[Value]) {
    if let Some(error) = answers.iter().find_map(error_in) {
        span.set_failure("redis::ServerError", &without_arguments(&error.to_string()));
    }
}

/// The first error of an answer. A transaction has one answer, with those to its commands in it.
fn error_in(answer: &Value) -> Option<&ServerError> {
    match answer {
        Value::ServerError(error) => Some(error),
        Value::Array(answers) => answers.iter().find_map(error_in),
        _ => None,
    }
}

fn failed(span: &mut Span, error: &RedisError) {
    match without_arguments(&error.to_string()) {
        Cow::Borrowed(_) => span.set_error(error),
        Cow::Owned(text) => span.set_failure("redis::RedisError", &text),
    };
}

fn without_arguments(text: &str) -> Cow<'_, str> {
    match text.split_once(ARGUMENTS) {
        Some((text, _)) => Cow::Owned(text.to_owned()),
        None => Cow::Borrowed(text),
    }
}

impl<C> fmt::Debug for RedisConnection<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConnection").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use datadog_config::DDConfig;
    use datadog_local_agent::LocalAgent;
    use redis::{ErrorKind, parse_redis_value};

    use super::*;

    /// Answers everything alike.
    struct Answering(RedisResult<Value>);

    impl ConnectionLike for Answering {
        fn req_packed_command(&mut self, _: &[u8]) -> RedisResult<Value> {
            self.0.clone()
        }

        fn req_packed_commands(&mut self, _: &[u8], _: usize, _: usize) -> RedisResult<Vec<Value>> {
            Ok(vec![self.0.clone()?])
        }

        fn get_db(&self) -> i64 {
            7
        }

        fn check_connection(&mut self) -> bool {
            true
        }

        fn is_open(&self) -> bool {
            true
        }
    }

    #[test]
    fn failures_are_told_wherever_they_are_and_without_arguments() {
        let agent = LocalAgent::start().unwrap();
        let config = DDConfig::builder().environment([("", "")]);
        let config = config.agent_url(agent.url()).build().unwrap();
        let client = DDClient::new(config).unwrap();
        let unknown = "unknown command 'GTE', with args beginning with: 'secret'";
        let parsed = |text: &str| parse_redis_value(text.as_bytes()).unwrap();
        let error = RedisError::from((ErrorKind::Client, "refused", unknown.to_owned()));
        for answer in [
            Ok(parsed(
                "*2\r\n+OK\r\n-WRONGTYPE Operation against a key\r\n",
            )),
            Ok(parsed(&format!("-ERR {unknown}\r\n"))),
            Err(error),
            Ok(parsed("*1\r\n+OK\r\n")),
        ] {
            let mut redis = client.redis_connection(Answering(answer));
            let mut transaction = redis::pipe();
            transaction.atomic().get("secret").ignore();
            let _ = transaction.query::<()>(&mut redis);
            let _ = redis.req_command(&redis::cmd("GET"));
        }
        client.flush(Duration::from_secs(20));
        let spans = agent.spans();
        let failed: Vec<_> = spans.iter().map(|span| span.error).collect();
        assert_eq!(failed, [1, 1, 1, 1, 1, 1, 0, 0]);
        let messages: Vec<_> = spans
            .iter()
            .filter_map(|span| span.meta.get("error.message"))
            .collect();
        assert!(messages[0].contains("WRONGTYPE"), "{messages:?}");
        assert!(
            messages[5].ends_with("unknown command 'GTE'"),
            "{messages:?}"
        );
        let all = format!("{spans:?}");
        assert!(!all.contains("secret"), "{all}");
    }
}
