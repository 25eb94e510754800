//! The layer.

use std::fmt;

use datadog_logs::Logs;
use datadog_trace::{DetachedSpan, Parent, SpanContext, SpanKey, SpanKeys, SpanLink, Tracer};
use datadog_transport::on_worker;
use tracing_core::span::{Attributes, Id, Record};
use tracing_core::{Dispatch, Event, LevelFilter, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::{LookupSpan, SpanRef};

use super::callsite::Callsite;
use super::fields::Fields;
use super::http::HttpOptions;
use super::open_span::OpenSpan;
use super::recent::Recent;
use super::slots::Slots;
use crate::DDClient;
use crate::database::Database;
use crate::patch::{Probe, report_once};

/// A layer for subscribers of the `tracing` crate: its spans become spans of the client, its events become logs.
///
/// Made by [`DDClient::tracing_layer`]. It may outlive the client, and then drops what it gets.
///
/// ```
/// use tracing_subscriber::prelude::*;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let agent = datadog_local_agent::LocalAgent::start()?;
/// # let config = datadog::DDConfig::builder().environment([("", "")]).agent_url(agent.url())
/// #     .logs_direct_submission_url(agent.url()).api_key("0123456789abcdef0123456789abcdef").build()?;
/// let client = datadog::DDClient::new(config)?;
/// let subscriber = tracing_subscriber::registry().with(client.tracing_layer());
/// // Or `.init()`, for the whole program.
/// tracing::subscriber::with_default(subscriber, || {
///     let _span = tracing::info_span!("cart.checkout", cart.items = 3).entered();
///     tracing::info!(amount = 12.5, "paid"); // a log with the ids of the span
/// });
/// # client.flush(std::time::Duration::from_secs(5));
/// # assert_eq!(agent.spans()[0].metrics["cart.items"], 3.0);
/// # assert_eq!(agent.logs()[0].message, "paid");
/// # Ok(()) }
/// ```
///
/// # Spans
///
/// Parents are right across threads and `.await`, and spans of both kinds mix: a span of `tracing` that is entered is the
/// active one for [`DDClient::trace`], and the other way round. A span is sent when its last handle is gone, which
/// may be later than its last exit. `follows_from` becomes a link.
///
/// Fields become tags of their types. Those with names of OpenTelemetry's conventions (`http.*`, `db.*`, `messaging.*`,
/// `rpc.*`, `graphql.*`, `faas.*`, `otel.kind`, `otel.name`, `otel.status_code`, `otel.status_message`,
/// `exception.*`) also decide about the span's name, resource, type and failure, by the rules of the Datadog Agent;
/// `dd.name`, `dd.resource`, `dd.service` and `dd.type` beat them. So do `operation.name`, `resource.name`, `service.name` and
/// `span.type`. The bare words `operation`, `resource` and `service` are tags as any, except beside a field
/// `span.type`, as spans for the crate `tracing-datadog` have it: then texts in them are the span's name, resource and
/// service. The spans of
/// `tower-http`, poem, warp, mysql_async, fred, scylla, sea-orm, clickhouse, async-graphql and the AWS SDK are understood as
/// they are, and statements of `sqlx` and commands of mongodb, which tell them by events, become spans. Of these, mongodb and
/// scylla are tested against copies of what their published source tells only; the others, axum-tracing-opentelemetry,
/// tracing-actix-web and reqwest-tracing are tested as they run: of the AWS SDK, SQS, and clickhouse, mysql_async and SQS with
/// answers that the tests give. Spans of fred and the AWS SDK do not say whether a command or a call failed; of async-graphql,
/// the errors of fields are told, not those of queries that it can't read.
/// [`DDClient::patch`] says which of them arrive, and options switch them off. Beside the crates sqlx-datadog and sqlx-tracing,
/// whose spans tell the same statements, `DD_TRACE_SQLX_ENABLED=false` keeps them from being told twice.
///
/// A field `error` or `err` marks the span as failed, and is its `error.message`: of both an error value, else the first; the
/// other keeps its name, as error values in other fields do.
///
/// Users, passwords and the values of queries in fields with a URL are not sent, in logs neither; of statements in SQL or CQL no
/// values, of mongodb no documents, and of mysql_async, scylla and async-graphql no values that statements are given. Which status
/// is a failure, and whether the client's address is told, say the options that the middleware of this crate follows.
///
/// Spans of protocols and runtimes such as `h2` and `tokio` are left out, and of sea-orm those of its own functions. Those
/// of `tower-http`, axum-tracing-opentelemetry, tracing-actix-web and reqwest-tracing are too as soon as the program has made a
/// middleware of this crate that tells the same requests; of the last two those of their own builders, as a span that the
/// program makes with a macro of theirs is the program's. That counts for the whole process. What is within a span that is left
/// out belongs to the one around it, on other threads too.
///
/// # Filters
///
/// The layer takes what the subscriber has enabled. Give it a filter of its own with
/// [`with_filter`](Layer::with_filter); a filter of the whole subscriber, such as an `EnvFilter` of `info`, takes spans
/// of libraries away that are on level debug: those of `tower-http`, and all that `sqlx` tells.
///
/// To change what is taken while the program runs, reload the filter, not the layer: the open spans of a layer that is replaced
/// end with it, and stay the active ones of other threads that are within them.
pub struct DDTracingLayer {
    pub(super) tracer: Tracer,
    pub(super) logs: Logs,
    pub(super) log_level: LevelFilter,
    pub(super) span_events: bool,
    pub(super) failing_events: bool,
    pub(super) slots: Slots,
    /// By which threads find spans that are active on them.
    keys: SpanKeys,
    pub(super) http: HttpOptions,
    /// Of the statements of sqlx.
    pub(super) database: Database,
    /// Of commands of mongodb.
    pub(super) databases: Recent,
    pub(crate) probe: Probe,
}

impl DDClient {
    /// A layer for subscribers of the `tracing` crate.
    pub fn tracing_layer(&self) -> DDTracingLayer {
        DDTracingLayer {
            tracer: self.inner.tracer.clone(),
            logs: self.inner.logs.clone(),
            log_level: LevelFilter::INFO,
            span_events: false,
            failing_events: true,
            slots: Slots::new(),
            keys: SpanKeys::new(),
            http: HttpOptions::new(&self.inner.config),
            database: Database::default(),
            databases: Recent::default(),
            probe: Probe::new(self),
        }
    }
}

impl DDTracingLayer {
    /// Sends events up to `level` as logs, with the fields of the spans around them. Default: info. What this client
    /// says about itself is never sent.
    #[must_use]
    pub fn log_level(mut self, level: LevelFilter) -> Self {
        self.log_level = level;
        self
    }

    /// Whether events are kept within their spans, up to 128 a span. Default: no, as there are logs.
    #[must_use]
    pub fn span_events(mut self, kept: bool) -> Self {
        self.span_events = kept;
        self
    }

    /// Whether an event of level error marks its span as failed. Default: yes.
    #[must_use]
    pub fn errors_fail_spans(mut self, fail: bool) -> Self {
        self.failing_events = fail;
        self
    }

    /// Says which database the statements of sqlx are for, which nothing that it tells does: by the URL that its pool is made
    /// with, such as `postgresql://user:password@db.local:5432/shop`. Of that, system, host, port and name become tags
    /// (`db.system`, `out.host`, `network.destination.port`, `db.name`), and the spans are named after the system, such as
    /// `postgresql.query`. Default, also for what is no URL: `sql.query`, and no tags.
    #[must_use]
    pub fn sqlx_database(mut self, url: impl AsRef<str>) -> Self {
        self.database = Database::of_url(url.as_ref());
        self
    }

    /// A span that changes neither name nor service until it is entered has a key.
    #[inline(always)]
    fn start<S>(
        &self,
        attributes: &Attributes<'_>,
        id: &Id,
        key: Option<SpanKey>,
        context: &Context<'_, S>,
    ) -> DetachedSpan
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let name = attributes.metadata().name();
        let child = match attributes.is_contextual() {
            true => self.tracer.trace_child(name, key),
            false => None,
        };
        child.unwrap_or_else(|| self.start_apart(attributes, id, context))
    }

    /// The same where no span is active on this thread.
    #[inline(never)]
    fn start_apart<S>(
        &self,
        attributes: &Attributes<'_>,
        id: &Id,
        context: &Context<'_, S>,
    ) -> DetachedSpan
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let name = attributes.metadata().name();
        match self.parent(attributes, id, context) {
            Some(parent) => self.tracer.trace_detached(Parent::Of(&parent), name),
            None => self.tracer.trace_detached(Parent::Root, name),
        }
    }

    /// The parent of a new span by what the registry knows, which may be of another thread.
    #[inline(never)]
    pub(super) fn parent<S>(
        &self,
        attributes: &Attributes<'_>,
        id: &Id,
        context: &Context<'_, S>,
    ) -> Option<SpanContext>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let named = attributes.parent();
        let named = named.and_then(|named| self.span_context(named, context));
        // A span that the layer's filter refuses can't be looked up, but from below those above it can.
        named.or_else(|| self.nearest(context.span(id)?.parent()?.scope(), context))
    }

    /// Keeps a span whose fields are written to it at once. Apart, so that other spans go in registers.
    #[inline(never)]
    fn put_applied<S>(
        &self,
        id: &Id,
        span: DetachedSpan,
        fields: Box<Fields>,
        metadata: &'static Metadata<'static>,
        context: &Context<'_, S>,
    ) where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let mut open = OpenSpan::new(span, fields, false);
        open.apply(metadata.name(), Callsite::of(metadata), &self.http);
        self.slots.put(id, || open, context);
    }

    #[inline]
    pub(super) fn key(&self, id: &Id) -> SpanKey {
        self.keys.of(id.into_u64())
    }

    /// The Datadog span of a span, or of the nearest one above it that has one.
    fn span_context<S>(&self, id: &Id, context: &Context<'_, S>) -> Option<SpanContext>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        self.nearest(context.span_scope(id)?, context)
    }

    fn nearest<'a, S>(
        &self,
        mut scope: impl Iterator<Item = SpanRef<'a, S>>,
        context: &Context<'_, S>,
    ) -> Option<SpanContext>
    where
        S: Subscriber + for<'b> LookupSpan<'b> + 'a,
    {
        scope.find_map(|span| {
            let of_span = |open: &mut OpenSpan| open.span.context();
            let known = self.slots.with(&span.id(), context, of_span);
            known.unwrap_or_else(|| self.within(&span))
        })
    }
}

impl<S> Layer<S> for DDTracingLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_register_dispatch(&self, subscriber: &Dispatch) {
        self.probe.set_dispatch(subscriber);
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.probe.see(metadata);
        true
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let metadata = attributes.metadata();
        let callsite = Callsite::of(metadata);
        if on_worker() {
            return;
        }
        if callsite.is_inner_life() {
            return self.leave_out(attributes, id, &context);
        }
        if self.probe.is_due() {
            report_once(&self.probe);
        }
        let rule = callsite.rule;
        if rule.is_some_and(|rule| !self.probe.modules().is_wanted(rule.module)) {
            return self.leave_out(attributes, id, &context);
        }
        let mut fields = Fields::take();
        attributes.record(&mut fields.record_first(callsite));
        let key = callsite.is_plain().then(|| self.key(id));
        let span = self.start(attributes, id, key, &context);
        if callsite.is_plain() && !span.is_local_root() {
            let open = || OpenSpan::new(span, fields, true);
            self.slots.put(id, open, &context);
        } else {
            self.put_applied(id, span, fields, attributes.metadata(), &context);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let metadata = span.metadata();
        let callsite = Callsite::of(metadata);
        drop(span);
        // Read without the lock: a value may say something about itself while it is read.
        let mut recorded = Fields::take();
        values.record(&mut recorded.record_as(callsite.rule));
        self.slots.with(id, &context, |open| {
            open.fields.extend(&mut recorded);
            open.apply(metadata.name(), callsite, &self.http);
        });
        if callsite.is_inner() {
            self.tell_operation(id, &recorded, &context);
        }
        recorded.give_back();
    }

    fn on_follows_from(&self, id: &Id, follows: &Id, context: Context<'_, S>) {
        let Some(followed) = self.span_context(follows, &context) else {
            return;
        };
        let link = SpanLink::to(&followed);
        self.slots.with(id, &context, |open| open.link_to(&link));
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        self.take_event(event, &context);
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        let key = self.key(id);
        if key.activate() {
            return;
        }
        let activate = |open: &mut OpenSpan| open.span.activate_as(key);
        if self.slots.with(id, &context, activate).is_none() {
            self.enter_left_out(id, &context);
        }
    }

    fn on_exit(&self, id: &Id, _: Context<'_, S>) {
        self.key(id).deactivate();
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        if let Some(open) = self.slots.take(&id, &context) {
            open.close();
        }
    }
}

/// A layer may end before its spans, as when another one is put in its place. They end here then, and are active no more on
/// this thread: nobody tells when they are left.
impl Drop for DDTracingLayer {
    fn drop(&mut self) {
        self.slots.take_all(|id, open| {
            while self.keys.of(id).deactivate() {}
            open.close();
        });
    }
}

impl fmt::Debug for DDTracingLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DDTracingLayer")
            .field("log_level", &self.log_level)
            .field("span_events", &self.span_events)
            .field("failing_events", &self.failing_events)
            .finish_non_exhaustive()
    }
}
