//! `cargo xtask bench`: the benches of the signals beside their peers, and their results in `docs/benchmarks.md`.

mod machine;
mod results;

use std::fmt::Write;
use std::process::{Command, Stdio};
use std::time::SystemTime;

use crate::marks::Page;
use crate::{Outcome, style, workspace};

/// What can be benched: the crate `datadog-NAME` and its peers in `benches/NAME-peers`, as far as they have benches.
const NAMES: [&str; 5] = ["metrics", "logs", "trace", "profiling", "patch"];

/// A bench target that measures whole programs, without criterion, and prints tables in Markdown.
const FIGURES: &str = "figures";

/// `args`: one of the names, else all; then what criterion is to get, such as `--quick`.
pub(crate) fn run(args: &[String]) -> Outcome {
    match args {
        [name, rest @ ..] if !name.starts_with('-') => {
            let known = NAMES.into_iter().find(|known| known == name);
            let name = known.ok_or_else(|| format!("takes one of {}", NAMES.join(", ")))?;
            bench(name, rest)
        }
        rest => NAMES
            .into_iter()
            .filter(|name| !targets(name).is_empty())
            .try_for_each(|name| bench(name, rest)),
    }
}

/// A bench target of a package.
struct Target {
    package: String,
    name: String,
    build: Build,
}

fn bench(name: &str, criterion_args: &[String]) -> Outcome {
    let targets = targets(name);
    if targets.is_empty() {
        return Err(format!("{name} has no benches").into());
    }
    let mut page = Page::read("docs/benchmarks.md")?;
    let started = SystemTime::now();
    let (figures, criterion): (Vec<_>, Vec<_>) =
        targets.iter().partition(|target| target.name == FIGURES);
    for target in criterion {
        let status = target.cargo().arg("--").args(criterion_args).status()?;
        if !status.success() {
            return Err(format!("{target}: {status}").into());
        }
    }
    let folder = workspace::scratch()?.with_file_name("criterion");
    let mut section = section(name, criterion_args);
    let table = results::table(&folder, started)?;
    if table.is_empty() && figures.is_empty() {
        return Err("no bench ran".into());
    }
    section.push_str(&table);
    for target in figures {
        eprintln!("{}", style::step(&format!("whole programs: {target}")));
        let output = target.figures().stderr(Stdio::inherit()).output()?;
        if !output.status.success() {
            return Err(format!("{target}: {}", output.status).into());
        }
        let _ = write!(section, "\n{}", String::from_utf8(output.stdout)?);
    }
    println!("\n{section}");
    page.replace(name, &section)?;
    println!("{} {}", style::good("xtask bench:"), page.write()?);
    eprintln!("{} in {}", style::good("details"), folder.display());
    Ok(())
}

/// How the section begins: the command, and where it ran.
fn section(name: &str, criterion_args: &[String]) -> String {
    let mut command = format!("cargo xtask bench {name}");
    for arg in criterion_args {
        let _ = write!(command, " {arg}");
    }
    format!("`{command}` on {}\n\n", machine::describe())
}

fn targets(name: &str) -> Vec<Target> {
    let packages = [
        (format!("datadog-{name}"), format!("datadog-{name}")),
        (format!("{name}-peers"), format!("benches/{name}-peers")),
    ];
    let mut targets = Vec::new();
    for (package, folder) in packages {
        let benches = workspace::root().join(folder).join("benches");
        let files = std::fs::read_dir(benches).into_iter().flatten().flatten();
        let mut names: Vec<String> = files
            .filter_map(|file| file.file_name().into_string().ok())
            .filter_map(|file| Some(file.strip_suffix(".rs")?.to_owned()))
            .collect();
        names.sort();
        for name in names {
            targets.extend(builds(&package).iter().map(|build| Target {
                package: package.clone(),
                name: name.clone(),
                build: *build,
            }));
        }
    }
    targets
}

/// One of several builds of a bench that prints tables.
#[derive(Clone, Copy)]
struct Build {
    /// Features of dependencies.
    features: &'static str,
    /// How it calls itself, given as its argument.
    name: &'static str,
}

/// The builds of a package, one after the other: of peers whose features exclude each other.
fn builds(package: &str) -> &'static [Build] {
    const fn build(features: &'static str, name: &'static str) -> Build {
        Build { features, name }
    }
    const ONE: &[Build] = &[build("", "")];
    const OF_PPROF: &[Build] = &[
        build("", ""),
        build("pprof/frame-pointer", "pprof, frame pointers"),
        build("pprof/framehop-unwinder", "pprof, framehop"),
    ];
    match package {
        "profiling-peers" => OF_PPROF,
        _ => ONE,
    }
}

impl Target {
    fn cargo(&self) -> Command {
        let mut cargo = workspace::cargo();
        cargo.args(["bench", "--package", &self.package, "--bench", &self.name]);
        if !self.build.features.is_empty() {
            cargo.args(["--features", self.build.features]);
        }
        cargo
    }

    /// For a bench that prints tables.
    fn figures(&self) -> Command {
        let mut cargo = self.cargo();
        if !self.build.name.is_empty() {
            cargo.args(["--", self.build.name]);
        }
        cargo
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.package, self.name)
    }
}
