//! What building a configuration gives: values, errors, problems, addresses.

use std::path::PathBuf;

use datadog_config::{AgentUrl, DDConfig, DDConfigBuilder, Origin};

/// A builder that reads nothing of this process and its host.
fn hermetic(variables: &[(&str, &str)]) -> DDConfigBuilder {
    DDConfig::builder().environment(variables.iter().copied())
}

#[test]
fn bad_code_is_one_error_that_lists_everything() {
    let error = hermetic(&[])
        .agent_url("ftp://x")
        .service("")
        .tracing_port(0)
        .build()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the Datadog configuration has 3 unusable values:\n  \
         service = \"\" (code): expected a text that is not empty\n  \
         agent_url = \"ftp://x\" (code): expected localhost, host, host:port, http(s)://…, unix:///path or /path.sock\n  \
         tracing_port = \"0\" (code): expected a port from 1 to 65535"
    );
}

#[test]
fn bad_environment_is_a_list_of_problems() {
    let bad = [
        ("DD_TRACE_AGENT_URL", "ftp://x"),
        ("DD_SERVICE", ""),
        ("DD_TRACE_AGENT_PORT", "0"),
        ("DD_ENV", "prod"),
    ];
    let config = hermetic(&bad).build().unwrap();
    let lines: Vec<_> = config.problems().iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "DD_SERVICE= (env): expected a text that is not empty; not used",
            "DD_TRACE_AGENT_URL=ftp://x (env): expected localhost, host, host:port, http(s)://…, unix:///path or /path.sock; not used",
            "DD_TRACE_AGENT_PORT=0 (env): expected a port from 1 to 65535; not used",
        ]
    );
    assert!(!config.service().is_empty());
    assert_eq!(config.env(), Some("prod"));
}

#[test]
fn code_beats_the_environment() {
    let config = hermetic(&[
        ("DD_SERVICE", "mail"),
        ("DD_TRACE_AGENT_URL", "http://there:1"),
    ])
    .service("web")
    .agent_url("/tmp/apm.sock")
    .build()
    .unwrap();
    assert_eq!(config.service(), "web");
    assert_eq!(
        *config.trace_agent(),
        AgentUrl::Unix(PathBuf::from("/tmp/apm.sock"))
    );
    let description = config.describe();
    let row = description
        .rows()
        .iter()
        .find(|row| row.option == "DD_SERVICE")
        .unwrap();
    assert_eq!(row.origin, Origin::Code);
}
