//! Reports for error tracking: `POST /evp_proxy/v4/api/v2/errorsintake`.
//!
//! The form is that of `libdatadog: libdd-crashtracker/src/crash_info/errors_intake.rs`.

use serde_json::Value as Json;

use crate::intake;
use crate::request::{Headers, Refused, Request};

/// The intake that the agent is to pass it on to (ibidem).
const SUBDOMAIN: &str = "error-tracking-intake";

/// One report as accepted, such as of a crash.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ErrorReport {
    /// `error.type`, such as `SIGSEGV`.
    pub kind: String,
    /// `error.message`.
    pub message: String,
    /// `error.is_crash`.
    pub is_crash: bool,
    /// When it happened, in milliseconds since the Unix epoch.
    pub timestamp_ms: u64,
    /// `ddtags`, taken apart: each `key:value`.
    pub tags: Vec<String>,
    /// The calls of `error.stack`, the innermost first.
    pub frames: Vec<ErrorFrame>,
    /// All of it, as sent.
    pub body: Json,
    /// Headers of the request.
    pub headers: Headers,
}

/// A call in the stack of an [`ErrorReport`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ErrorFrame {
    /// The name of the function; empty if not sent.
    pub function: String,
    /// The source file; empty if not sent.
    pub file: String,
    /// The line; 0 if not sent.
    pub line: u64,
    /// The address, such as `0x55d01234`.
    pub ip: String,
    /// The build id of the file that was loaded; empty if not sent.
    pub build_id: String,
}

impl ErrorReport {
    /// The value of a tag.
    pub fn tag(&self, key: &str) -> Option<&str> {
        let mut pairs = self.tags.iter().filter_map(|tag| tag.split_once(':'));
        pairs.find(|(own, _)| *own == key).map(|(_, value)| value)
    }
}

/// Checks the headers and decodes the body.
pub(crate) fn decode(request: &Request) -> Result<ErrorReport, Refused> {
    intake::check_json(request)?;
    if request.header("X-Datadog-EVP-Subdomain") != Some(SUBDOMAIN) {
        let reason = format!("header X-Datadog-EVP-Subdomain: expected {SUBDOMAIN}");
        return Err(Refused::bad(reason));
    }
    let body: Json = serde_json::from_slice(&request.body)
        .map_err(|error| Refused::bad(format!("not JSON: {error}")))?;
    read(body, request.headers.clone()).map_err(Refused::bad)
}

fn read(body: Json, headers: Headers) -> Result<ErrorReport, String> {
    let error = &body["error"];
    let text = |value: &Json, name: &str| {
        let text = value.as_str().map(str::to_owned);
        text.ok_or_else(|| format!("field {name}: expected a text, got {value}"))
    };
    text(&body["ddsource"], "ddsource")?;
    let frames = error["stack"]["frames"].as_array().into_iter().flatten();
    let frames = frames.map(|frame| {
        let text = |name: &str| frame[name].as_str().unwrap_or_default().to_owned();
        ErrorFrame {
            function: text("function"),
            file: text("file"),
            line: frame["line"].as_u64().unwrap_or(0),
            ip: text("ip"),
            build_id: text("build_id"),
        }
    });
    let timestamp_ms = body["timestamp"].as_u64();
    let tags = text(&body["ddtags"], "ddtags")?;
    Ok(ErrorReport {
        kind: text(&error["type"], "error.type")?,
        message: text(&error["message"], "error.message")?,
        is_crash: error["is_crash"].as_bool().unwrap_or(false),
        timestamp_ms: timestamp_ms.ok_or("field timestamp: expected milliseconds")?,
        tags: tags.split(',').map(str::to_owned).collect(),
        frames: frames.collect(),
        headers,
        body,
    })
}
