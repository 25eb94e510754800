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
    /// The features that it is built with.
    features: &'static str,
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
        let output = target.cargo().stderr(Stdio::inherit()).output()?;
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
        for (name, features) in names.iter().flat_map(|name| {
            builds(&package)
                .iter()
                .map(move |features| (name, features))
        }) {
            targets.push(Target {
                package: package.clone(),
                name: name.clone(),
                features,
            });
        }
    }
    targets
}

/// The features with which a package is built, one time after the other: peers that exclude each other.
fn builds(package: &str) -> &'static [&'static str] {
    match package {
        "profiling-peers" => &["", "frame-pointer", "framehop"],
        _ => &[""],
    }
}

impl Target {
    fn cargo(&self) -> Command {
        let mut cargo = workspace::cargo();
        cargo.args(["bench", "--package", &self.package, "--bench", &self.name]);
        cargo.args(["--features", self.features]);
        cargo
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.package, self.name)
    }
}
