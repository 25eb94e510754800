//! The host's YAML files: no content panics, is an error, or takes more than the stack and memory of a small file.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use datadog_config::DDConfig;
use libfuzzer_sys::fuzz_target;

static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    std::env::temp_dir().join(format!("datadog-fuzz-{}.yaml", std::process::id()))
});

fuzz_target!(|bytes: &[u8]| {
    std::fs::write(&*FILE, bytes).expect("the file can be written");
    let builder = DDConfig::builder()
        .environment([("", "")])
        .local_file(&*FILE);
    builder.build().expect("a file is never an error");
});
