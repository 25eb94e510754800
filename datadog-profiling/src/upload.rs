//! The form in which a profile is uploaded (libdatadog: `libdd-profiling/src/exporter`; dd-trace-go:
//! `profiler/upload.go`): multipart, one part that describes and one that is the profile.

use std::io::{self, Write};

use datadog_config::{DDConfig, ProfilingEnabled};
use datadog_transport::{Payload, RUSTC_VERSION, TARGET};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Map, Value, json};

use crate::sample::Profile;
use crate::timestamp::utc;

/// The name of the attachment, as libdatadog has it.
const ATTACHMENT: &str = "profile.pprof";

/// Which kind of program a profile is of. The intake knows a fixed list; this is that of compiled programs (ddprof:
/// `src/exporter/ddprof_exporter.cc`).
const FAMILY: &str = "native";

/// The version of `event.json`.
const EVENT_VERSION: &str = "4";

/// The tags that the configuration has facts for, wherever these come from.
const GIT_COMMIT: &str = "git.commit.sha";
const GIT_REPOSITORY: &str = "git.repository_url";

/// Makes the uploads of one client.
pub(crate) struct Uploads {
    config: DDConfig,
    /// The object `info`, the same in all of them.
    info: Value,
    sequence: u64,
}

impl Uploads {
    pub(crate) fn new(config: &DDConfig) -> Self {
        Self {
            config: config.clone(),
            info: info(config),
            sequence: 0,
        }
    }

    /// The upload of a profile that is encoded as `pprof`.
    pub(crate) fn next(&mut self, profile: &Profile, pprof: &[u8]) -> io::Result<Payload> {
        let mut event = json!({
            "version": EVENT_VERSION,
            "family": FAMILY,
            "start": utc(profile.start),
            "end": utc(profile.end),
            "attachments": [ATTACHMENT],
            "tags_profiler": self.tags(),
            "info": self.info,
        });
        if !profile.endpoints.counts.is_empty() {
            let counts = profile.endpoints.counts.iter();
            event["endpoint_counts"] = counts
                .map(|(endpoint, count)| (endpoint.to_string(), json!(count)))
                .collect::<Map<_, _>>()
                .into();
        }
        if let Some(tags) = self.config.process_tags() {
            event["process_tags"] = json!(tags);
        }
        let mut form = Form::new(format!("datadog-{}", self.config.runtime_id()));
        form.part(
            "event",
            "event.json",
            "application/json",
            event.to_string().as_bytes(),
        );
        form.part(
            ATTACHMENT,
            ATTACHMENT,
            "application/octet-stream",
            &gzip(pprof)?,
        );
        self.sequence += 1;
        let headers = vec![
            ("Content-Type", form.content_type()),
            ("DD-EVP-ORIGIN", "datadog-rust".to_owned()),
            (
                "DD-EVP-ORIGIN-VERSION",
                env!("CARGO_PKG_VERSION").to_owned(),
            ),
        ];
        Ok(Payload::new(form.close(), headers, 1))
    }

    /// The comma list `tags_profiler`. `env` is left out where it is not set: the agent has a default for it.
    fn tags(&self) -> String {
        let config = &self.config;
        let git = config.git_metadata_enabled();
        let own = [
            ("service", Some(config.service())),
            ("env", config.env()),
            ("version", config.version()),
            ("host", config.hostname()),
            ("language", Some("native")),
            // The tracer's spans carry the same, which is how the backend finds the profile of a trace.
            ("runtime-id", Some(config.runtime_id())),
            ("profiler_version", Some(env!("CARGO_PKG_VERSION"))),
            ("profile_seq", Some(&*self.sequence.to_string())),
            ("process_id", Some(&*std::process::id().to_string())),
            ("cpu_arch", Some(std::env::consts::ARCH)),
            ("runtime_platform", Some(TARGET)),
            (GIT_COMMIT, config.git_commit_sha().filter(|_| git)),
            (GIT_REPOSITORY, config.git_repository_url().filter(|_| git)),
        ]
        .map(|(key, value)| (key.to_owned(), value.unwrap_or_default().to_owned()));
        let users = config.tags().iter().chain(config.profiling_tags());
        let users = users.filter(|(key, _)| ![GIT_COMMIT, GIT_REPOSITORY].contains(&&**key));
        own.iter()
            .chain(users)
            // The list has only pairs.
            .filter(|(key, value)| !key.is_empty() && !value.is_empty())
            // And no way to quote a comma.
            .map(|(key, value)| format!("{key}:{value}").replace(',', "_"))
            .collect::<Vec<_>>()
            .join(",")
    }
}

/// What the support of Datadog asks for: how the profiler is set up (dd-trace-js: `packages/dd-trace/src/profiling/exporters/event_serializer.js`).
fn info(config: &DDConfig) -> Value {
    let settings: Map<String, Value> = config
        .describe()
        .rows()
        .iter()
        .filter(|row| row.option.starts_with("DD_PROFILING_"))
        .map(|row| (row.option.to_owned(), json!(row.value)))
        .collect();
    // Nothing but the program and its settings starts it.
    let activation = match config.profiling_enabled() {
        ProfilingEnabled::Auto => "auto",
        _ => "manual",
    };
    json!({
        "application": {
            "service": config.service(),
            "env": config.env(),
            "version": config.version(),
        },
        "runtime": {
            "engine": "rust",
            "version": RUSTC_VERSION,
            "platform": TARGET,
        },
        "profiler": {
            "version": env!("CARGO_PKG_VERSION"),
            "activation": activation,
            "ssi": { "mechanism": "none" },
            "settings": settings,
        },
    })
}

/// The intake knows gzip by its first bytes, so nothing says it.
fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// A `multipart/form-data` body (RFC 7578).
struct Form {
    boundary: String,
    body: Vec<u8>,
}

impl Form {
    /// An empty form. `boundary` must not occur at the start of a line in any part.
    fn new(boundary: String) -> Self {
        let body = Vec::new();
        Self { boundary, body }
    }

    fn content_type(&self) -> String {
        format!("multipart/form-data; boundary={}", self.boundary)
    }

    fn part(&mut self, name: &str, file_name: &str, content_type: &str, content: &[u8]) {
        let head = format!(
            "--{}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{file_name}\"\r\n\
             Content-Type: {content_type}\r\n\r\n",
            self.boundary
        );
        self.body.extend_from_slice(head.as_bytes());
        self.body.extend_from_slice(content);
        self.body.extend_from_slice(b"\r\n");
    }

    fn close(mut self) -> Vec<u8> {
        let end = format!("--{}--\r\n", self.boundary);
        self.body.extend_from_slice(end.as_bytes());
        self.body
    }
}
