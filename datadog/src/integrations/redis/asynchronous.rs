//! Connections of tokio.

use redis::aio::ConnectionLike;
use redis::{Cmd, Pipeline, RedisFuture, Value};

use super::{RedisConnection, all_answered, answered, command, packed};
use crate::integrations::watch::watch;

impl<C: ConnectionLike + Send> ConnectionLike for RedisConnection<C> {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        let span = self.start(|| command(cmd), self.inner.get_db());
        let span = span.detach();
        let answer = self.inner.req_packed_command(cmd);
        Box::pin(watch(span, answer, answered))
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        let commands = || {
            let commands = pipeline.cmd_iter().take(packed::SHOWN).map(command);
            commands.collect::<Vec<_>>().join("\n")
        };
        let span = self.start(commands, self.inner.get_db()).detach();
        let answers = self.inner.req_packed_commands(pipeline, offset, count);
        Box::pin(watch(span, answers, all_answered))
    }

    fn get_db(&self) -> i64 {
        self.inner.get_db()
    }
}
