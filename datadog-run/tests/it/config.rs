//! What the program gets, and what is shown of it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use crate::support::{assert_has, datadog_run, run};

/// Prints what a program sees of the variables we set.
const SHOW: [&str; 4] = [
    "--",
    "sh",
    "-c",
    "echo $DD_TRACE_PATCH,$DD_SERVICE,$DD_VERSION_USE_GIT,$DD_CONFIG_FILE",
];

#[test]
fn the_program_gets_the_defaults() {
    let (_, stdout, stderr) = run(&mut datadog_run(&SHOW));
    assert_eq!((stdout.as_str(), stderr.as_str()), ("true,sh,true,\n", ""));
}

#[test]
fn what_the_user_set_wins() {
    let mut command = datadog_run(&SHOW);
    let user = [
        ("DD_TRACE_PATCH", "false"),
        ("DD_SERVICE", "web"),
        ("DD_VERSION", "7"),
    ];
    let (_, stdout, _) = run(command.envs(user));
    assert_eq!(stdout, "false,web,,\n");
}

#[test]
fn the_config_file_is_passed_on_and_wins() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("shop.yaml");
    fs::write(
        &file,
        "apm_configuration_default:\n  DD_SERVICE: from-file\n",
    )
    .unwrap();
    let path = file.canonicalize().unwrap().display().to_string();
    let mut arguments = vec!["--config", "shop.yaml", "--show-config"];
    arguments.extend(SHOW);
    let (_, stdout, stderr) = run(datadog_run(&arguments).current_dir(&directory));
    assert_eq!(stdout, format!("true,,true,{path}\n"));
    let row = stderr
        .lines()
        .find(|line| line.starts_with("DD_SERVICE "))
        .unwrap();
    let words: Vec<_> = row.split_whitespace().collect();
    assert_eq!(words, ["DD_SERVICE", "from-file", "local", "file", &path]);
}

#[test]
fn a_config_that_can_be_read_only_once_is_refused() {
    let mut command = datadog_run(&["--config", "/dev/stdin", "--show-config"]);
    let output = command.stdin(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_has(&stderr, "--config /dev/stdin: is a pipe");
    let (output, ..) = run(&mut datadog_run(&["--config", "/dev/null", "true"]));
    assert!(output.status.success(), "a device is there again");
}

#[test]
fn problems_are_printed_and_stop_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("bad.yaml");
    fs::write(&file, "a: [").unwrap();
    let file = file.to_str().unwrap();
    let mut command = datadog_run(&["--config", file, "--", "echo", "started"]);
    command
        .env("DD_TRACE_SAMPLE_RATE", "off")
        .env("DD_API_KEY", "a secret");
    let (output, stdout, stderr) = run(&mut command);
    assert!(output.status.success());
    assert_eq!(stdout, "started\n");
    assert_has(
        &stderr,
        "datadog-run: DD_TRACE_SAMPLE_RATE=off (env): expected a number",
    );
    assert_has(
        &stderr,
        &format!("datadog-run: {file} (local file): is no YAML"),
    );
    assert_has(&stderr, "datadog-run: DD_API_KEY=*** (env): expected ");
    assert!(!stderr.contains("a secret"), "{stderr}");
}

#[test]
fn the_configuration_is_shown_without_a_program() {
    let mut command = datadog_run(&["--show-config"]);
    command
        .env("DD_API_KEY", "0123456789abcdef0123456789abcdef")
        .env("DD_ENV", "prod");
    let (output, stdout, stderr) = run(&mut command);
    assert!(output.status.success());
    assert_eq!(stderr, "");
    let words = |option| words(&stdout, option);
    assert_eq!(words("DD_API_KEY"), ["***", "env", "DD_API_KEY"]);
    assert_eq!(words("DD_ENV"), ["prod", "env", "DD_ENV"]);
    assert_eq!(
        words("DD_TRACE_PATCH"),
        ["true", "env", "DD_TRACE_PATCH,", "by", "the", "launcher"]
    );
    assert_eq!(words("DD_LOGS_OUTPUT"), ["intake", "default"]);
    // Aligned: the values of all options start in one column.
    let columns: Vec<_> = stdout
        .lines()
        .map(|line| {
            let name = line.split(' ').next().unwrap();
            line[name.len()..].find(|blank| blank != ' ').unwrap() + name.len()
        })
        .collect();
    assert!(
        columns.iter().all(|column| *column == columns[0]),
        "{stdout}"
    );
}

/// What a line of the configuration says of an option.
fn words(shown: &str, option: &str) -> Vec<String> {
    let mut rows = shown
        .lines()
        .map(|line| line.split_whitespace().map(str::to_owned));
    rows.find_map(|mut words| (words.next()? == option).then(|| words.collect()))
        .unwrap_or_else(|| panic!("no {option} in:\n{shown}"))
}

#[test]
fn service_and_version_are_those_of_the_program() {
    let directory = tempfile::tempdir().unwrap();
    let commit = "1f7e0d7a1d9d7e3ba9a3c2a7b6b2a1c0d9e8f7a6";
    fs::create_dir(directory.path().join(".git")).unwrap();
    fs::write(directory.path().join(".git/HEAD"), commit).unwrap();
    let program = directory.path().join("shop-1.2");
    fs::write(&program, "#!/bin/sh\necho $DD_SERVICE\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = datadog_run(&["--show-config", "--", program.to_str().unwrap()]);
    let (_, stdout, stderr) = run(&mut command);
    assert_eq!(stdout, "shop-1.2\n");
    assert_eq!(words(&stderr, "service")[0], "shop-1.2");
    assert_eq!(words(&stderr, "version")[0], commit);
    // Without a program, of where it would be started.
    let (_, stdout, _) = run(datadog_run(&["--show-config"]).current_dir(&directory));
    assert_eq!(words(&stdout, "version")[0], commit);
}

#[test]
fn every_variable_is_an_option() {
    let (_, stdout, _) = run(&mut datadog_run(&["--local", "--", "env"]));
    let options = datadog_config::options();
    let set: Vec<_> = stdout
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name)
        .filter(|name| name.starts_with("DD_"))
        .collect();
    assert_eq!(set.len(), 9, "{set:?}");
    for name in set {
        assert!(options.iter().any(|option| option.name == name), "{name}");
    }
}
