//! The logs intake, `POST /api/v2/logs`.
//!
//! Rules from the public API reference ("Send logs"; `datadog-api-client-rust: .generator/schemas/v2/openapi.yaml`)
//! and from what the agents keep to (`serverless-components: crates/datadog-logs-agent/src/constants.rs`).

use serde_json::{Map, Value};

use crate::intake;
use crate::request::{Refused, Request};

/// Most bytes of one request, unpacked.
const MAX_BYTES: usize = 5_000_000;
/// Most entries of one request.
const MAX_ENTRIES: usize = 1000;
/// A longer entry is cut by the intake, without an error.
const MAX_MESSAGE: usize = 1_000_000;

/// One log entry as accepted.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct LogEntry {
    /// The text. Cut to 1,000,000 bytes as the intake does.
    pub message: String,
    /// The level.
    pub status: Option<String>,
    /// The service.
    pub service: Option<String>,
    /// The host.
    pub hostname: Option<String>,
    /// The technology that the log came from.
    pub ddsource: Option<String>,
    /// Tags in one text, divided by commas.
    pub ddtags: Option<String>,
    /// All other fields, as sent.
    pub attributes: Map<String, Value>,
}

impl LogEntry {
    /// An attribute by name or by path: `dd.trace_id` finds `{"dd.trace_id": …}` as well as `{"dd": {"trace_id": …}}`.
    pub fn attribute(&self, path: &str) -> Option<&Value> {
        lookup(&self.attributes, path)
    }

    /// The low 64 bits of `dd.trace_id`, which is sent as 32 hexadecimal digits or as a decimal number.
    pub fn trace_id(&self) -> Option<u64> {
        let text = self.attribute("dd.trace_id").map(plain)?;
        if text.len() == 32 {
            return u128::from_str_radix(&text, 16).ok().map(|id| id as u64);
        }
        text.parse().ok()
    }

    /// `dd.span_id`, which is sent as a decimal number.
    pub fn span_id(&self) -> Option<u64> {
        self.attribute("dd.span_id").map(plain)?.parse().ok()
    }
}

fn lookup<'a>(fields: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    if let Some(value) = fields.get(path) {
        return Some(value);
    }
    let dots = path.match_indices('.').map(|(at, _)| at);
    dots.filter_map(|at| Some((fields.get(&path[..at])?.as_object()?, &path[at + 1..])))
        .find_map(|(inner, rest)| lookup(inner, rest))
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// Checks the headers and decodes the body of a logs request.
pub(crate) fn decode(request: &Request, key: Option<&str>) -> Result<Vec<LogEntry>, Refused> {
    intake::check_key(request, key)?;
    intake::check_json(request)?;
    let body = intake::unpack(request, &["gzip", "deflate"], MAX_BYTES)?;
    let entries = match serde_json::from_slice(&body) {
        Ok(Value::Array(entries)) => entries,
        Ok(entry) => vec![entry],
        Err(error) => return Err(Refused::bad(format!("the body is not JSON: {error}"))),
    };
    if entries.len() > MAX_ENTRIES {
        let reason = format!("{} entries, at most {MAX_ENTRIES} may come", entries.len());
        return Err(Refused::new(413, reason));
    }
    entries
        .into_iter()
        .enumerate()
        .map(|(at, value)| {
            entry(value).map_err(|reason| Refused::bad(format!("entry {at}: {reason}")))
        })
        .collect()
}

fn entry(value: Value) -> Result<LogEntry, String> {
    let Value::Object(mut fields) = value else {
        return Err(format!("expected an object, got {}", json_kind(&value)));
    };
    let mut take = |name: &str| match fields.remove(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(format!(
            "field `{name}`: expected a string, got {}",
            json_kind(&other)
        )),
    };
    let mut message = take("message")?.ok_or("field `message` is missing")?;
    if let Some(end) = (0..=MAX_MESSAGE.min(message.len()))
        .rev()
        .find(|end| message.is_char_boundary(*end))
    {
        message.truncate(end);
    }
    Ok(LogEntry {
        message,
        status: take("status")?,
        service: take("service")?,
        hostname: take("hostname")?,
        ddsource: take("ddsource")?,
        ddtags: take("ddtags")?,
        attributes: fields,
    })
}

/// What a JSON value is, for error texts.
pub(crate) fn json_kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a bool",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
