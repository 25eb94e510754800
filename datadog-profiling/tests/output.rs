//! Profiles as files, read by a reader that is not ours; also those of a program without symbols.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "clippy takes only functions marked as tests for tests"
)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use datadog_local_agent::LocalAgent;
use datadog_profiling::{DDConfig, DDConfigBuilder, Profiler};
use libdd_profiling_protobuf::prost_impls::{Mapping, Message as _, Profile};

const SOON: Duration = Duration::from_secs(20);

/// Samples itself until something was found, and uploads it.
fn profile(config: DDConfigBuilder, agent: &LocalAgent) {
    let config = config.service("shop").agent_url(agent.url());
    let profiler = Profiler::start(&config.build().unwrap()).unwrap();
    profiler.start_sampling();
    let limit = Instant::now() + SOON;
    while profiler.flush(SOON).delivered == 0 {
        assert!(Instant::now() < limit);
        let end = Instant::now() + Duration::from_millis(200);
        while Instant::now() < end {
            std::hint::black_box(thread::current().id());
        }
    }
    profiler.shutdown(SOON);
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn read(file: &Path) -> Profile {
    Profile::decode(&*fs::read(file).unwrap()).unwrap()
}

/// The mapping of the program itself.
fn program<'a>(profile: &'a Profile, path: &Path) -> &'a Mapping {
    let path = fs::canonicalize(path).unwrap();
    let is_own =
        |mapping: &&Mapping| Path::new(&profile.string_table[mapping.filename as usize]) == path;
    profile.mappings.iter().find(is_own).unwrap()
}

fn build_id<'a>(profile: &'a Profile, mapping: &Mapping) -> &'a str {
    &profile.string_table[mapping.build_id as usize]
}

#[test]
fn a_file_has_what_is_uploaded() {
    let directory = tempfile::tempdir().unwrap();
    let agent = LocalAgent::start().unwrap();
    let prefix = directory.path().join("shop");
    let config = DDConfig::builder().environment([("", "")]);
    profile(
        config.profiling_output_pprof(prefix.display().to_string()),
        &agent,
    );
    let first = directory
        .path()
        .join(format!("shop.{}.1.pprof", std::process::id()));
    let found = read(&first);
    let uploads = agent.profiles();
    let uploaded = uploads[0].pprof().unwrap();
    assert_eq!(files(directory.path()).len(), uploads.len());
    assert_eq!(found.samples.len(), uploaded.samples.len());
    assert_eq!(found.time_nanos, uploaded.time_ns);
    let own = program(&found, &env::current_exe().unwrap());
    assert!(own.has_functions);
}

/// Does something only where a test of this file starts this program with a variable.
#[test]
fn as_another_program() {
    let config = DDConfig::builder();
    let wanted = config.clone().build().unwrap();
    if wanted.profiling_output_pprof().is_some() {
        profile(config, &LocalAgent::start().unwrap());
    }
}

#[test]
fn a_stripped_program_keeps_addresses_and_build_id() {
    let directory = tempfile::tempdir().unwrap();
    let stripped = directory.path().join("stripped");
    let strip = Command::new("strip")
        .args(["--strip-all", "-o"])
        .arg(&stripped)
        .arg(env::current_exe().unwrap())
        .status();
    if !strip.is_ok_and(|status| status.success()) {
        println!("left out: no working `strip`");
        return;
    }
    let profiles = directory.path().join("profiles");
    fs::create_dir(&profiles).unwrap();
    let status = Command::new(&stripped)
        .args(["--exact", "as_another_program"])
        .env("DD_PROFILING_OUTPUT_PPROF", profiles.join("shop"))
        .status();
    assert!(status.unwrap().success());
    let profile = read(&files(&profiles)[0]);
    let own = program(&profile, &stripped);
    assert!(!own.has_functions);
    let id = build_id(&profile, own);
    assert!(
        id.len() >= 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{id}"
    );
    let inside: Vec<_> = profile
        .locations
        .iter()
        .filter(|location| location.mapping_id == own.id)
        .collect();
    assert!(!inside.is_empty());
    for location in inside {
        assert!((own.memory_start..own.memory_limit).contains(&location.address));
        assert_eq!(location.lines, []);
    }
}
