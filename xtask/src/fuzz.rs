//! `cargo xtask fuzz`: the fuzz targets, one after the other.

use std::fs;
use std::path::Path;

use crate::{Outcome, style, workspace};

/// How long each target runs.
const SECONDS: u32 = 60;

/// `args`: nothing, or the seconds each target gets, or a target's name, or both.
pub(crate) fn run(args: &[String]) -> Outcome {
    let mut seconds = SECONDS;
    let mut only = None;
    for arg in args {
        match arg.parse() {
            Ok(number) => seconds = number,
            Err(_) => only = Some(arg),
        }
    }
    let folder = workspace::root().join("fuzz");
    let mut targets = names(&folder.join("targets"))?;
    if let Some(only) = only {
        if !targets.contains(only) {
            return Err(format!("there is no target `{only}`, only {}", targets.join(", ")).into());
        }
        targets.retain(|target| target == only);
    }
    for target in &targets {
        eprintln!("{} {target} for {seconds} s", style::step("fuzzing"));
        let corpus = workspace::scratch()?.join("corpus").join(target);
        fs::create_dir_all(&corpus)?;
        let mut cargo = workspace::cargo();
        let status = cargo
            // Not the workspace's folder: the flags for coverage are in this one's `.cargo/config.toml`.
            .current_dir(&folder)
            .args(["run", "--quiet", "--release", "--bin", target, "--"])
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-artifact_prefix={}/", corpus.display()))
            .arg(&corpus)
            .arg(folder.join("seeds").join(target))
            .status()?;
        if !status.success() {
            let found = corpus.display();
            return Err(format!("{target}: {status}; the input that did it is in {found}").into());
        }
    }
    println!(
        "{} nothing found in {}",
        style::good("xtask fuzz:"),
        targets.join(", ")
    );
    Ok(())
}

/// The names of the targets, which are those of their files.
fn names(folder: &Path) -> Outcome<Vec<String>> {
    let mut names = Vec::new();
    for file in fs::read_dir(folder)? {
        let path = file?.path();
        names.extend(
            path.file_stem()
                .map(|name| name.to_string_lossy().into_owned()),
        );
    }
    names.sort();
    Ok(names)
}
