//! What the fields of a span mean: its name, resource, type, service and tags, by the rules that the agent has for
//! OpenTelemetry's spans (datadog-agent: `pkg/trace/traceutil/otel_util.go`,
//! `pkg/opentelemetry-mapping-go/otlp/attributes/semconv.go`).

use std::borrow::Cow;

use datadog_trace::{Span, SpanKind};

use super::callsite::Callsite;
use super::failure::{is_failure, status_failed, status_message, tells_more};
use super::fields::{Fields, is_error_key};
use super::http::{self, HttpOptions};
use super::names::{DB_SYSTEM, db_type, tag_name};
use super::rules::Rule;
use super::shown::{shown, statement};
use super::stored::FieldValue;
use super::url;

const METHOD: &[&str] = &["http.request.method", "http.method"];
const STATUS: &[&str] = &["http.response.status_code", "http.status_code"];
const DB_TEXT: &[&str] = &["db.query.text", "db.statement"];
const DESTINATION: &[&str] = &["messaging.destination.name", "messaging.destination"];
const OPERATION: &[&str] = &[
    "messaging.operation.type",
    "messaging.operation.name",
    "messaging.operation",
];
const RPC_SYSTEM: &[&str] = &["rpc.system", "rpc.system.name"];
const HOST: &[&str] = &["server.address", "net.peer.name", "net.peer.ip"];
const PORT: &[&str] = &["server.port", "net.peer.port"];

/// What the fields of a span say of a failure.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Failure {
    pub(super) is_told: bool,
    /// The status of the response, if that is a failure.
    pub(super) status: Option<u16>,
}

/// Writes the fields of a span.
pub(super) fn apply(
    span: &mut Span,
    name: &'static str,
    callsite: Callsite,
    fields: &Fields,
    options: &HttpOptions,
) -> Failure {
    let meaning = Meaning::new(name, callsite, fields, options);
    meaning.write_tags(span);
    meaning.write_role(span);
    meaning.write_identity(span);
    meaning.write_failure(span)
}

/// The fields of a span, with what decides how they are read.
struct Meaning<'a> {
    name: &'static str,
    rule: Option<&'static Rule>,
    is_of_bridge: bool,
    fields: &'a Fields,
    options: &'a HttpOptions,
    kind: Option<SpanKind>,
    method: Option<&'a str>,
    db_system: Option<&'a str>,
}

impl<'a> Meaning<'a> {
    fn new(
        name: &'static str,
        callsite: Callsite,
        fields: &'a Fields,
        options: &'a HttpOptions,
    ) -> Self {
        let rule = callsite.rule;
        let kind = fields.text(&["otel.kind", "span.kind"]).and_then(kind_of);
        let db_system = fields.text(DB_SYSTEM);
        let of_operation = rule.filter(|_| !callsite.is_inner());
        Self {
            name,
            rule,
            is_of_bridge: callsite.is_of_bridge(),
            fields,
            options,
            kind: kind.or_else(|| of_operation.and_then(|rule| rule.kind)),
            method: fields.text(METHOD),
            db_system: db_system.or_else(|| of_operation.and_then(|rule| rule.db_system)),
        }
    }

    /// What the program says itself: the text of the first of these fields that there is, else that of `tracing-datadog`'s.
    fn said(&self, keys: &[&str], of_bridge: &str) -> Option<&'a str> {
        let said = self.fields.text(keys);
        said.or_else(|| self.fields.text(&[of_bridge]).filter(|_| self.is_of_bridge))
    }

    /// What the span tells another process, or is told by one.
    fn is_client(&self) -> bool {
        self.kind == Some(SpanKind::Client)
    }

    fn is_server(&self) -> bool {
        self.kind == Some(SpanKind::Server)
    }

    /// Whether it is a call of the AWS SDK.
    fn is_aws(&self) -> bool {
        self.is_client() && self.fields.text(RPC_SYSTEM) == Some("aws-api")
    }

    /// Writes the fields that are no more than tags.
    fn write_tags(&self, span: &mut Span) {
        let error_key = self.fields.error_key();
        for (key, value) in self.fields.iter() {
            match key {
                // What they mean is written elsewhere.
                "otel.kind"
                | "span.kind"
                | "otel.name"
                | "otel.status_code"
                | "otel.status_message"
                | "otel.status_description"
                | "exception.type"
                | "exception.stacktrace"
                | "operation.name"
                | "resource.name"
                | "service.name"
                | "span.type" => {}
                "operation" | "resource" | "service" if self.said(&[], key).is_some() => {}
                key if error_key == Some(key) => {}
                key if is_error_key(key) && !tells_more(value) => {}
                key if key.starts_with("dd.") => {}
                // As axum-tracing-opentelemetry says it of a request that no route is for.
                "http.route" if self.fields.text(&[key]).is_none_or(str::is_empty) => {}
                "http.response.status_code" | "http.status_code" => {
                    if let Some(status) = http::status(self.fields, &[key]) {
                        span.set_tag("http.status_code", status.to_string());
                    }
                }
                key => match value {
                    FieldValue::Text(text) => {
                        if let Some(text) = shown(key, text, self.db_system, self.options) {
                            span.set_tag(tag_name(key), &*text);
                        }
                    }
                    // As a number, this key says no more than that there is an error.
                    _ if key == "error" => {
                        let code = self.fields.number(&[key]);
                        if let Some(code) = code.filter(|code| *code != 0.0) {
                            span.set_tag(key, code.to_string());
                        }
                    }
                    value => _ = span.set_tag(tag_name(key), value),
                },
            }
        }
    }

    /// Writes which role the span has, which library made it, and what it asked.
    fn write_role(&self, span: &mut Span) {
        if let Some(kind) = self.kind {
            span.set_kind(kind);
        }
        if let Some(rule) = self.rule {
            span.set_tag("component", rule.component);
        }
        if let Some(system) = self.db_system {
            span.set_tag("db.system", system);
        }
        if self.is_aws() {
            for (key, tag) in [
                ("rpc.service", "aws.service"),
                ("rpc.method", "aws.operation"),
            ] {
                if let Some(text) = self.fields.text(&[key]) {
                    span.set_tag(tag, text);
                }
            }
        }
        if self.is_client() {
            if let Some(host) = self.fields.text(HOST) {
                span.set_tag("out.host", host);
            }
            if let Some(port) = self.fields.number(PORT) {
                span.set_tag("network.destination.port", port);
            }
        }
    }

    fn write_identity(&self, span: &mut Span) {
        if let Some(service) = self.said(&["dd.service", "service.name"], "service") {
            span.set_service(service);
        }
        let names = ["dd.name", "dd.operation", "operation.name"];
        match self.said(&names, "operation") {
            Some(name) => _ = span.set_name(name.to_owned()),
            None => {
                if let Some(name) = self.operation() {
                    span.set_name(name);
                }
            }
        }
        let resource = self.said(&["dd.resource", "resource.name"], "resource");
        let resource = resource.map(|resource| Cow::Owned(resource.to_owned()));
        if let Some(resource) = resource.or_else(|| self.resource()) {
            span.set_resource(resource);
        }
        let span_type = self.fields.text(&["dd.type", "dd.span_type", "span.type"]);
        span.set_type(match span_type {
            Some(said) => Cow::Owned(said.to_owned()),
            None => Cow::Borrowed(self.span_type()),
        });
    }

    /// The name of the operation, where a convention says one.
    fn operation(&self) -> Option<Cow<'static, str>> {
        let fields = self.fields;
        if self.method.is_some() && self.is_server() {
            return Some("http.server.request".into());
        }
        if self.method.is_some() && self.is_client() {
            return Some("http.client.request".into());
        }
        if let Some(system) = self.db_system.filter(|_| self.is_client()) {
            return Some(lowered(system, ".query").into());
        }
        if let (Some(system), Some(operation), Some(_)) = (
            fields.text(&["messaging.system"]),
            fields.text(OPERATION),
            self.kind,
        ) {
            return Some(lowered(system, &format!(".{operation}")).into());
        }
        if let Some(system) = fields.text(RPC_SYSTEM) {
            return self.rpc(system).map(Cow::Owned);
        }
        if self.is_client()
            && let (Some(provider), Some(function)) = (
                fields.text(&["faas.invoked_provider"]),
                fields.text(&["faas.invoked_name"]),
            )
        {
            return Some(lowered(provider, &format!(".{function}.invoke")).into());
        }
        if self.is_server()
            && let Some(trigger) = fields.text(&["faas.trigger"])
        {
            return Some(lowered(trigger, ".invoke").into());
        }
        let graphql = fields.text(&["graphql.operation.type"]);
        graphql.map(|_| "graphql.server.request".into())
    }

    fn rpc(&self, system: &str) -> Option<String> {
        if self.is_aws() {
            let service = self.fields.text(&["rpc.service"]);
            return Some(match service {
                Some(service) => format!("aws.{}.request", service.to_lowercase()),
                None => "aws.client.request".to_owned(),
            });
        }
        let side = match self.kind? {
            SpanKind::Client => "client",
            SpanKind::Server => "server",
            _ => return None,
        };
        Some(lowered(system, &format!(".{side}.request")))
    }

    /// What was worked on, where a convention says so.
    fn resource(&self) -> Option<Cow<'static, str>> {
        let fields = self.fields;
        if let Some(method) = self.method {
            let method = if method == "_OTHER" { "HTTP" } else { method };
            return Some(match self.route() {
                Some(route) => format!("{method} {route}").into(),
                None => method.to_owned().into(),
            });
        }
        if let Some(operation) = fields.text(OPERATION) {
            return Some(with_object(operation, fields.text(DESTINATION)));
        }
        if let Some(method) = fields.text(&["rpc.method"]) {
            return Some(with_object(method, fields.text(&["rpc.service"])));
        }
        if let Some(operation) = fields.text(&["graphql.operation.type"]) {
            return Some(with_object(
                operation,
                fields.text(&["graphql.operation.name"]),
            ));
        }
        if self.db_system.is_some() {
            let text = fields.text(DB_TEXT);
            if let Some(text) = text.or_else(|| fields.text(&["db.query.summary"])) {
                return Some(statement(text, self.db_system).into_owned().into());
            }
        }
        let operation = self
            .db_system
            .and_then(|_| fields.text(&["db.operation.name"]));
        match operation.or_else(|| fields.text(&["otel.name"])) {
            Some(text) => Some(text.to_owned().into()),
            // The operation has another name than the span; the resource is the span.
            None => self.operation().map(|_| self.name.into()),
        }
    }

    /// The route of a request; of a server that says no route, the path without what looks like an id.
    fn route(&self) -> Option<Cow<'_, str>> {
        if self.is_client() {
            return self.fields.text(&["url.template"]).map(Cow::Borrowed);
        }
        if let Some(route) = self.fields.text(&["http.route"]) {
            return Some(Cow::Borrowed(route));
        }
        let url = self
            .rule
            .and_then(|_| self.fields.text(&["url.full", "url.path"]))?;
        Some(Cow::Owned(url::without_ids(url::path_of(url))))
    }

    fn span_type(&self) -> &'static str {
        match self.kind {
            Some(SpanKind::Server) => "web",
            Some(SpanKind::Client) => self.db_system.map_or("http", db_type),
            _ => "custom",
        }
    }

    fn write_failure(&self, span: &mut Span) -> Failure {
        let fields = self.fields;
        let mut failure = Failure {
            is_told: fields.error().is_some(),
            status: None,
        };
        if let Some(report) = fields.error() {
            span.set_failure(&report.kind, &report.message);
            if let Some(stack) = report.stack.as_ref().filter(|stack| !stack.has_backtrace()) {
                span.set_tag("error.stack", stack.to_string());
            }
        }
        let said = fields.error_key().and_then(|key| fields.text(&[key]));
        let mut errors = fields.iter().filter(|(key, _)| is_error_key(key));
        let flagged = errors.any(|(_, value)| is_failure(value));
        if said.is_some() || flagged || status_failed(fields) {
            failure.is_told = true;
            let message = said.or_else(|| status_message(fields)).unwrap_or_default();
            span.set_failure(
                fields.text(&["exception.type"]).unwrap_or_default(),
                message,
            );
        }
        if let Some(stack) = fields.text(&["exception.stacktrace"]) {
            span.set_tag("error.stack", stack);
        }
        if let Some(status) = http::status(fields, STATUS)
            && self.kind.is_some()
            && self.options.is_error(self.is_client(), status)
        {
            span.set_failure("", "");
            failure.is_told = true;
            failure.status = Some(status);
        }
        failure
    }
}

fn kind_of(text: &str) -> Option<SpanKind> {
    let kinds = [
        SpanKind::Internal,
        SpanKind::Server,
        SpanKind::Client,
        SpanKind::Producer,
        SpanKind::Consumer,
    ];
    kinds
        .into_iter()
        .find(|kind| kind.as_str().eq_ignore_ascii_case(text))
}

fn lowered(text: &str, rest: &str) -> String {
    let mut name = text.to_lowercase();
    name.push_str(rest);
    name
}

fn with_object(verb: &str, object: Option<&str>) -> Cow<'static, str> {
    match object {
        Some(object) => format!("{verb} {object}").into(),
        None => verb.to_owned().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_read_in_any_case() {
        assert_eq!(kind_of("SERVER"), Some(SpanKind::Server));
        assert_eq!(kind_of("Consumer"), Some(SpanKind::Consumer));
        assert_eq!(kind_of("serve"), None);
    }
}
