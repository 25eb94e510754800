//! Libraries that tell what they asked a database by an event when it is done: a span is made of that.

use std::time::{Duration, SystemTime};

use datadog_trace::{Span, SpanKind, obfuscate_sql};
use tracing_core::Subscriber;
use tracing_core::span::Id;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::fields::Fields;
use super::layer::DDTracingLayer;
use super::rules::Rule;
use super::shown;
use crate::patch::ModuleId;

/// A library of that kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Statement {
    /// sqlx 0.9: `sqlx-core/src/logger.rs`.
    Sqlx,
    /// mongodb 3.9 with its feature `tracing-unstable`: `src/trace/command.rs`. Tests have copies of these events.
    Mongodb,
}

impl Statement {
    pub(super) fn of(target: &str) -> Option<Self> {
        match target {
            "sqlx::query" => Some(Self::Sqlx),
            "mongodb::command" => Some(Self::Mongodb),
            _ => None,
        }
    }

    /// How long it took. There is none in the event that tells of the start of a command.
    fn elapsed(self, fields: &Fields) -> Option<Duration> {
        let seconds = match self {
            Self::Sqlx => fields.number(&["elapsed_secs"])?,
            Self::Mongodb => fields.number(&["durationMS"])? / 1000.0,
        };
        Duration::try_from_secs_f64(seconds).ok()
    }

    const fn module(self) -> ModuleId {
        match self {
            Self::Sqlx => ModuleId::Sqlx,
            Self::Mongodb => ModuleId::Mongodb,
        }
    }
}

impl DDTracingLayer {
    /// A span for a statement that is done.
    pub(super) fn trace_statement<S>(
        &self,
        statement: Statement,
        fields: &Fields,
        context: &Context<'_, S>,
    ) where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        if !self.probe.modules().is_on(statement.module()) {
            return;
        }
        let Some(elapsed) = statement.elapsed(fields) else {
            self.note_start(fields);
            return;
        };
        if statement == Statement::Sqlx && self.is_told_by_orm(context) {
            return;
        }
        let end = SystemTime::now();
        let mut span = match statement {
            Statement::Sqlx => self.tracer.trace(self.database.operation()),
            Statement::Mongodb => self.tracer.trace("mongodb.query"),
        };
        span.set_kind(SpanKind::Client);
        if let Some(start) = end.checked_sub(elapsed) {
            span.set_start_time(start);
        }
        match statement {
            Statement::Sqlx => {
                describe_sqlx(&mut span, fields);
                self.database.write(&mut span);
            }
            Statement::Mongodb => {
                describe_mongodb(&mut span, fields);
                if let Some(number) = request(fields) {
                    let tell = |name: &str| _ = span.set_tag("db.name", name);
                    self.databases.tell(number, tell);
                }
            }
        }
        span.finish_at(end);
    }

    /// Notes the database of a command of mongodb that starts: the event of its end does not say it.
    fn note_start(&self, fields: &Fields) {
        if let Some(number) = request(fields)
            && let Some(name) = fields.text(&["databaseName"])
        {
            self.databases.note(number, name);
        }
    }

    /// Whether the statement has a span of sea-orm's: the nearest one that is sent. Without its feature `tracing-spans`, its
    /// functions have spans too, but those are left out.
    fn is_told_by_orm<S>(&self, context: &Context<'_, S>) -> bool
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let Some(current) = context.lookup_current() else {
            return false;
        };
        let is_sent = |id: &Id| self.slots.with(id, context, |_| ()).is_some();
        let nearest = current.scope().find(|span| is_sent(&span.id()));
        let rule = nearest.and_then(|span| Rule::of(span.metadata().target()));
        rule.is_some_and(|rule| rule.module == ModuleId::SeaOrm)
    }
}

fn describe_sqlx(span: &mut Span, fields: &Fields) {
    span.set_type("sql").set_tag("component", "sqlx");
    // Only the summary of a short statement is told.
    if let Some(statement) = fields.text(&["db.statement", "db.query.summary"]) {
        span.set_resource(obfuscate_sql(statement));
    }
    for (field, tag) in [
        ("rows_returned", "db.row_count"),
        ("rows_affected", "db.rows_affected"),
    ] {
        if let Some(rows) = fields.number(&[field]) {
            span.set_tag(tag, rows);
        }
    }
}

/// The number of a command, which is one of the process (mongodb 3.9: `src/cmap/conn/wire/util.rs`).
fn request(fields: &Fields) -> Option<u64> {
    let number = fields.number(&["requestId"])?;
    Some((number as i64).unsigned_abs())
}

/// Of the command only the name: the rest has values.
fn describe_mongodb(span: &mut Span, fields: &Fields) {
    span.set_type("mongodb")
        .set_tag("component", "mongodb")
        .set_tag("db.system", "mongodb");
    for (field, tag) in [("commandName", "db.operation"), ("serverHost", "out.host")] {
        if let Some(text) = fields.text(&[field]) {
            span.set_tag(tag, text);
        }
    }
    if let Some(command) = fields.text(&["commandName"]) {
        span.set_resource(command.to_owned());
    }
    if let Some(port) = fields.number(&["serverPort"]) {
        span.set_tag("network.destination.port", port);
    }
    if let Some(failure) = fields.text(&["failure"]) {
        span.set_failure("", shown::failure(failure));
    }
}
