//! Queries of diesel 2.3, without a change to the program.

use std::sync::{Mutex, PoisonError};

use datadog_trace::{DetachedSpan, Parent, SpanKind, obfuscate_sql};
use diesel::connection::{
    DebugQuery, Instrumentation, InstrumentationEvent, set_default_instrumentation,
};

use super::module::ModuleTracer;
use crate::DDClient;
use crate::database::Database;
use crate::patch::ModuleId;

/// The tracer of connections that are opened from now on: the hook of the process takes a function without any state.
static TRACER: Mutex<Option<ModuleTracer>> = Mutex::new(None);

/// What stands between the text of a query and the values that are bound to it (diesel: `src/query_builder/debug_query.rs`).
const BINDS: &str = " -- binds: ";

impl DDClient {
    /// Puts the queries of all connections of diesel that are opened from now on into spans, those of diesel-async included.
    /// `false` if diesel takes no hook.
    ///
    /// The span is a child of the active span, and is named after the database, such as `postgresql.query` or
    /// `sqlite.query`; its resource is the query without values, comments and aliases. The URL of the connection brings
    /// host, port and name of the database.
    ///
    /// [`patch`](Self::patch) does this too. A hook of the program's own has no place beside this one; of two clients, the later one has the spans.
    pub fn instrument_diesel(&self) -> bool {
        let tracer = Some(ModuleTracer::new(self, ModuleId::Diesel));
        *TRACER.lock().unwrap_or_else(PoisonError::into_inner) = tracer;
        set_default_instrumentation(hook).is_ok()
    }
}

fn hook() -> Option<Box<dyn Instrumentation>> {
    let tracer = TRACER.lock().unwrap_or_else(PoisonError::into_inner);
    Some(Box::new(Connection {
        tracer: tracer.clone()?,
        database: Database::default(),
        query: None,
    }))
}

/// What is known of a connection.
struct Connection {
    tracer: ModuleTracer,
    database: Database,
    /// The query that runs.
    query: Option<DetachedSpan>,
}

impl Instrumentation for Connection {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        match event {
            InstrumentationEvent::StartEstablishConnection { url, .. } => {
                self.database = Database::of(url);
            }
            InstrumentationEvent::StartQuery { query, .. } => {
                self.query = self.start(query);
            }
            InstrumentationEvent::FinishQuery { error, .. } => {
                if let Some(mut span) = self.query.take()
                    && let Some(error) = error
                {
                    span.edit(|span| _ = span.set_error(error));
                }
            }
            _ => {}
        }
    }
}

impl Connection {
    fn start(&self, query: &dyn DebugQuery) -> Option<DetachedSpan> {
        let tracer = self.tracer.get()?;
        let query = query.to_string();
        let text = query.split(BINDS).next().unwrap_or_default();
        let mut span = tracer.trace_detached(Parent::Active, self.database.operation());
        span.edit(|span| {
            span.set_resource(obfuscate_sql(text))
                .set_type("sql")
                .set_kind(SpanKind::Client)
                .set_tag("component", "diesel");
            self.database.write(span);
        });
        Some(span)
    }
}
