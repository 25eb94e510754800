//! Profile uploads: `POST /profiling/v1/input` (agent) and `POST /api/v2/profile` (intake).
//!
//! The form is that of `libdatadog: libdd-profiling/src/exporter` and `dd-trace-go: profiler/upload.go`. Both paths take the
//! same multipart body; the second asks for an API key.

use std::collections::BTreeMap;

use flate2::read::MultiGzDecoder;
use futures_util::stream;
use serde_json::{Map, Value as Json};

use crate::intake::read_up_to;
use crate::pprof::{self, Pprof};
use crate::request::{Headers, Refused, Request};
use crate::timestamp;
use crate::value::{self, Fields};

/// The intake names no limit; this one only protects the receiver from a compressed bomb.
const MAX_UNPACKED: usize = 256 * 1024 * 1024;

/// One profile upload as accepted.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Profile {
    /// What `event.json` says.
    pub event: ProfileEvent,
    /// The attachments in the order sent; at least one is a pprof.
    pub attachments: Vec<Attachment>,
    /// Headers of the request.
    pub headers: Headers,
}

impl Profile {
    /// The first pprof among the attachments.
    pub fn pprof(&self) -> Option<&Pprof> {
        self.attachments.iter().find_map(|own| own.pprof.as_ref())
    }
}

/// A file within a profile upload.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Attachment {
    /// Its name, such as `profile.pprof`.
    pub name: String,
    /// Its content, unpacked.
    pub bytes: Vec<u8>,
    /// Its content decoded, if the name ends in `.pprof`.
    pub pprof: Option<Pprof>,
}

/// The description of a profile upload, `event.json`.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ProfileEvent {
    /// The family, such as `native`.
    pub family: String,
    /// When the profile begins, in nanoseconds since the Unix epoch.
    pub start_ns: i64,
    /// When it ends, in nanoseconds since the Unix epoch.
    pub end_ns: i64,
    /// `tags_profiler`, taken apart: each `key:value`.
    pub tags: Vec<String>,
    /// How often each endpoint was entered.
    pub endpoint_counts: BTreeMap<String, u64>,
    /// `process_tags`; empty if not sent.
    pub process_tags: String,
    /// `info`, `internal` and `custom_attributes` as sent.
    pub other: Map<String, Json>,
}

impl ProfileEvent {
    /// The value of a tag.
    pub fn tag(&self, key: &str) -> Option<&str> {
        let pairs = self.tags.iter().filter_map(|tag| tag.split_once(':'));
        pairs
            .into_iter()
            .find(|(own, _)| *own == key)
            .map(|(_, value)| value)
    }
}

/// Checks the headers and decodes the body of a profile upload.
pub(crate) async fn decode(request: &Request) -> Result<Profile, Refused> {
    for name in ["DD-EVP-ORIGIN", "DD-EVP-ORIGIN-VERSION"] {
        if request.header(name).is_none() {
            return Err(Refused::bad(format!("header {name} is missing")));
        }
    }
    let content_type = request.header("content-type").unwrap_or_default();
    let boundary = multer::parse_boundary(content_type).map_err(|error| {
        Refused::new(
            415,
            format!("header Content-Type `{content_type}`: {error}"),
        )
    })?;
    let mut parts = parts(&request.body, boundary).await.map_err(Refused::bad)?;
    let event = take_event(&mut parts).map_err(Refused::bad)?;
    let (event, names) =
        event_json(&event).map_err(|reason| Refused::bad(format!("event.json: {reason}")))?;
    let attachments = attachments(parts, &names).map_err(Refused::bad)?;
    Ok(Profile {
        event,
        attachments,
        headers: request.headers.clone(),
    })
}

struct Part {
    name: String,
    file_name: String,
    content_type: String,
    bytes: Vec<u8>,
}

async fn parts(body: &[u8], boundary: String) -> Result<Vec<Part>, String> {
    let broken = |error| format!("multipart: {error}");
    let body = bytes::Bytes::copy_from_slice(body);
    let body = stream::once(async { Ok::<_, std::convert::Infallible>(body) });
    let mut multipart = multer::Multipart::new(body, boundary);
    let mut parts: Vec<Part> = Vec::new();
    while let Some(field) = multipart.next_field().await.map_err(broken)? {
        let part = Part {
            name: field.name().unwrap_or_default().to_owned(),
            file_name: field.file_name().unwrap_or_default().to_owned(),
            content_type: field
                .content_type()
                .map(ToString::to_string)
                .unwrap_or_default(),
            bytes: field.bytes().await.map_err(broken)?.to_vec(),
        };
        if parts.iter().any(|own| own.name == part.name) {
            return Err(format!("part `{}` comes twice", part.name));
        }
        parts.push(part);
    }
    Ok(parts)
}

fn take_event(parts: &mut Vec<Part>) -> Result<Vec<u8>, String> {
    let at = parts.iter().position(|part| part.name == "event");
    let event = parts.remove(at.ok_or("part `event` is missing")?);
    if event.file_name != "event.json" {
        return Err(format!(
            "part `event`: expected the file name event.json, got `{}`",
            event.file_name
        ));
    }
    if event.content_type != "application/json" {
        return Err(format!(
            "part `event`: expected the content type application/json, got `{}`",
            event.content_type
        ));
    }
    Ok(event.bytes)
}

/// Reads `event.json` and the names of the attachments in it.
fn event_json(bytes: &[u8]) -> Result<(ProfileEvent, Vec<String>), String> {
    let mut fields = Fields::of(value::json(bytes)?)?;
    let version = fields.required("version", value::text)?;
    if version != "4" {
        return Err(format!("field `version`: expected \"4\", got `{version}`"));
    }
    let attachments = fields.required("attachments", |list| {
        value::each(list, "names", value::filled)
    })?;
    let mut event = ProfileEvent {
        family: fields.required("family", value::filled)?,
        start_ns: fields.required("start", time)?,
        end_ns: fields.required("end", time)?,
        tags: fields.required("tags_profiler", tags)?,
        endpoint_counts: fields.optional("endpoint_counts", |counts| {
            value::map(counts, value::unsigned)
        })?,
        process_tags: fields.optional("process_tags", value::text)?,
        other: Map::new(),
    };
    if event.start_ns > event.end_ns {
        return Err("field `end` is before `start`".to_owned());
    }
    fields.optional("info", |value| value::map(value, Ok))?;
    fields.optional("internal", |value| value::map(value, Ok))?;
    fields.optional("custom_attributes", |list| {
        value::each(list, "names", value::text)
    })?;
    fields.none_left()?;
    let all: Map<String, Json> = serde_json::from_slice(bytes).unwrap_or_default();
    let other = ["info", "internal", "custom_attributes"];
    event.other = all
        .into_iter()
        .filter(|(name, _)| other.contains(&name.as_str()))
        .collect();
    Ok((event, attachments))
}

fn time(value: rmpv::Value) -> Result<i64, String> {
    let text = value::text(value)?;
    timestamp::parse(&text).ok_or_else(|| {
        format!("expected a time like 2026-01-02T03:04:05.678Z in UTC, got `{text}`")
    })
}

fn tags(value: rmpv::Value) -> Result<Vec<String>, String> {
    let text = value::filled(value)?;
    let tags: Vec<_> = text.split(',').map(str::to_owned).collect();
    let is_pair = |tag: &&String| matches!(tag.split_once(':'), Some((key, value)) if !key.is_empty() && !value.is_empty());
    match tags.iter().find(|tag| !is_pair(tag)) {
        Some(bad) => Err(format!("expected key:value pairs, got `{bad}`")),
        None => Ok(tags),
    }
}

/// Matches the parts with the names in `event.json` and decodes them.
fn attachments(parts: Vec<Part>, names: &[String]) -> Result<Vec<Attachment>, String> {
    if let Some(missing) = names
        .iter()
        .find(|name| parts.iter().all(|part| part.name != **name))
    {
        return Err(format!(
            "attachment `{missing}` is named in event.json but there is no such part"
        ));
    }
    let mut attachments = Vec::new();
    for part in parts {
        let name = part.name.clone();
        attachments.push(
            attachment(part, names).map_err(|reason| format!("attachment `{name}`: {reason}"))?,
        );
    }
    if attachments.iter().all(|own| own.pprof.is_none()) {
        return Err("there is no attachment whose name ends in .pprof".to_owned());
    }
    Ok(attachments)
}

fn attachment(part: Part, names: &[String]) -> Result<Attachment, String> {
    if !names.contains(&part.name) {
        return Err("the part is not named in event.json".to_owned());
    }
    if part.file_name != part.name {
        return Err(format!("its file name is `{}`", part.file_name));
    }
    let bytes = unpack(part.bytes)?;
    let pprof = if part.name.ends_with(".pprof") {
        Some(pprof::decode(&bytes)?)
    } else {
        None
    };
    Ok(Attachment {
        name: part.name,
        bytes,
        pprof,
    })
}

/// Unpacks by the first bytes, as the intake does, of which gzip is understood here.
fn unpack(bytes: Vec<u8>) -> Result<Vec<u8>, String> {
    if bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        return Err("it is packed with zstd, which this receiver can't unpack".to_owned());
    }
    if bytes.starts_with(&[0x04, 0x22, 0x4d, 0x18]) {
        return Err("it is packed with lz4, which this receiver can't unpack".to_owned());
    }
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(bytes);
    }
    let unpacked = read_up_to(MultiGzDecoder::new(&*bytes), MAX_UNPACKED)
        .map_err(|error| format!("not gzip: {error}"))?;
    if unpacked.len() > MAX_UNPACKED {
        return Err(format!("more than {MAX_UNPACKED} bytes unpacked"));
    }
    Ok(unpacked)
}
