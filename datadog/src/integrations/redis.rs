//! Commands of redis 1.

#[cfg(feature = "redis-tokio")]
mod asynchronous;
mod packed;

use std::fmt;

use datadog_trace::{Span, SpanKind, quantize_redis};
use redis::{Arg, Cmd, ConnectionLike, RedisResult, Value};

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
    tracer: ModuleTracer,
}

impl DDClient {
    /// Puts the commands of a connection into spans: see [`RedisConnection`].
    pub fn redis_connection<C>(&self, connection: C) -> RedisConnection<C> {
        RedisConnection {
            inner: connection,
            tracer: ModuleTracer::new(self, ModuleId::Redis),
        }
    }
}

impl<C> RedisConnection<C> {
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

fn answered(span: &mut Span, answer: &RedisResult<Value>) {
    match answer {
        Ok(Value::ServerError(error)) => {
            span.set_failure("redis::ServerError", &error.to_string());
        }
        Ok(_) => {}
        Err(error) => _ = span.set_error(error),
    }
}

fn all_answered(span: &mut Span, answers: &RedisResult<Vec<Value>>) {
    match answers {
        Ok(answers) => {
            let failed = answers.iter().find_map(|answer| match answer {
                Value::ServerError(error) => Some(error),
                _ => None,
            });
            if let Some(error) = failed {
                span.set_failure("redis::ServerError", &error.to_string());
            }
        }
        Err(error) => _ = span.set_error(error),
    }
}

impl<C> fmt::Debug for RedisConnection<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConnection").finish_non_exhaustive()
    }
}
