//! Process discovery: a sealed file in memory, by which the agent and host profilers find out that this process has a
//! tracer, and whose (dd-trace-go: `ddtrace/tracer/tracer.go`, `ddtrace/tracer/tracer_metadata.go`).

use std::fs::File;
use std::io::{self, Write};

use datadog_config::DDConfig;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

use crate::msgpack;

/// The layout with process tags and the container's id.
const SCHEMA_VERSION: u64 = 2;

/// So many characters of the runtime id tell the files of a process apart.
const NAME_ID: usize = 8;

/// Holds the file open; it is gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Discovery {
    _file: File,
}

impl Discovery {
    /// `None` where the kernel has no such files: nobody depends on it.
    pub(crate) fn publish(config: &DDConfig) -> Option<Self> {
        let published = Self::write(config);
        let published = published
            .inspect_err(|error| log::debug!(target: "datadog", "no process discovery: {error}"));
        published.ok()
    }

    fn write(config: &DDConfig) -> io::Result<Self> {
        let id = config.runtime_id().get(..NAME_ID).unwrap_or_default();
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let mut file = File::from(memfd_create(format!("datadog-tracer-info-{id}"), flags)?);
        file.write_all(&metadata(config))?;
        let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL;
        fcntl_add_seals(&file, seals)?;
        Ok(Self { _file: file })
    }
}

fn metadata(config: &DDConfig) -> Vec<u8> {
    let texts = [
        ("runtime_id", Some(config.runtime_id())),
        ("tracer_language", Some("rust")),
        ("tracer_version", Some(env!("CARGO_PKG_VERSION"))),
        // Empty where it is not known. The others are left out then (libdatadog: `libdd-library-config/src/tracer_metadata.rs`).
        ("hostname", Some(config.hostname().unwrap_or_default())),
        ("service_name", Some(config.service())),
        ("service_env", config.env()),
        ("service_version", config.version()),
        ("process_tags", config.process_tags()),
        ("container_id", config.container_id()),
    ];
    let known = texts
        .iter()
        .filter_map(|(key, text)| Some((*key, (*text)?)));
    let mut out = Vec::with_capacity(256);
    msgpack::map(&mut out, 1 + known.clone().count());
    msgpack::str(&mut out, "schema_version");
    msgpack::uint(&mut out, SCHEMA_VERSION);
    for (key, text) in known {
        msgpack::str(&mut out, key);
        msgpack::str(&mut out, text);
    }
    out
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    fn file(id: &str) -> Option<PathBuf> {
        let wanted = format!("/memfd:datadog-tracer-info-{}", &id[..NAME_ID]);
        let open = fs::read_dir("/proc/self/fd").unwrap().flatten();
        let mut paths = open.map(|entry| entry.path());
        paths.find(|path| {
            fs::read_link(path).is_ok_and(|link| link.to_string_lossy().starts_with(&wanted))
        })
    }

    #[test]
    fn others_can_read_whose_tracer_it_is_and_nobody_can_change_it() {
        let config = DDConfig::builder()
            .environment([("", "")])
            .service("shop")
            .env("prod")
            .version("7");
        let config = config.build().unwrap();
        let discovery = Discovery::publish(&config).unwrap();
        let path = file(config.runtime_id()).unwrap();
        let bytes = fs::read(&path).unwrap();
        let value = rmpv::decode::read_value(&mut bytes.as_slice()).unwrap();
        let field = |key: &str| {
            let fields = value.as_map().unwrap().iter();
            let mut fields = fields.filter(|(known, _)| known.as_str() == Some(key));
            fields.next().map(|(_, value)| value.to_string())
        };
        assert_eq!(field("schema_version").as_deref(), Some("2"));
        assert_eq!(field("service_name").as_deref(), Some("\"shop\""));
        assert_eq!(field("service_env").as_deref(), Some("\"prod\""));
        assert_eq!(field("tracer_language").as_deref(), Some("\"rust\""));
        assert!(fs::write(&path, b"changed").is_err());
        drop(discovery);
        assert_eq!(file(config.runtime_id()), None);
    }

    #[test]
    fn what_is_not_known_is_not_there() {
        let keys = |config: &DDConfig| {
            let bytes = metadata(config);
            let value = rmpv::decode::read_value(&mut bytes.as_slice()).unwrap();
            let keys = value.as_map().unwrap().iter();
            keys.map(|(key, _)| key.as_str().unwrap().to_owned())
                .collect::<Vec<String>>()
        };
        let config = || DDConfig::builder().environment([("", "")]).service("shop");
        let little = config().process_tags_enabled(false).build().unwrap();
        let known = [
            "schema_version",
            "runtime_id",
            "tracer_language",
            "tracer_version",
            "hostname",
            "service_name",
        ];
        let mut expected: Vec<&str> = known.into();
        // As the machine of the test is.
        expected.extend(little.container_id().map(|_| "container_id"));
        assert_eq!(keys(&little), expected);
        let more = keys(&config().env("prod").version("7").build().unwrap());
        for key in ["service_env", "service_version", "process_tags"] {
            assert!(more.iter().any(|known| known == key), "{key}");
        }
    }
}
