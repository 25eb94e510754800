//! What building a configuration gives: values, errors, problems, addresses.

use std::path::PathBuf;

use datadog_config::{
    AgentUrl, DDConfig, DDConfigBuilder, LogLevel, Origin, PropagationStyle, SamplingRule,
    SpanSamplingRule,
};

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

#[test]
fn a_bad_value_says_what_is_used_instead() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("local.yaml");
    std::fs::write(
        &file,
        "apm_configuration_default: {DD_TRACE_SAMPLE_RATE: 0.25}",
    )
    .unwrap();
    let config = hermetic(&[("DD_TRACE_SAMPLE_RATE", "abc")])
        .local_file(&file)
        .build()
        .unwrap();
    assert_eq!(
        config.problems()[0].to_string(),
        "DD_TRACE_SAMPLE_RATE=abc (env): expected a number between 0 and 1; using 0.25 from local file"
    );
    assert_eq!(config.tracing_sample_rate(), Some(0.25));
}

#[test]
fn remarks_do_not_stop_code() {
    let config = hermetic(&[])
        .datadog_site("us1.datadoghq.com")
        .build()
        .unwrap();
    assert_eq!(config.site(), "datadoghq.com");
    assert_eq!(
        config.problems()[0].to_string(),
        "datadog_site = \"us1.datadoghq.com\" (code): this site is written datadoghq.com; using datadoghq.com from code"
    );
}

#[test]
fn rules_in_code_are_triples_or_whole() {
    let config = hermetic(&[])
        .tracing_sampling_rules([("web", "prod", 0.02)])
        .build()
        .unwrap();
    assert_eq!(
        config.tracing_sampling_rules(),
        [SamplingRule::new(0.02).service("web").tag("env", "prod")]
    );

    let rules = [
        SamplingRule::new(1.0),
        SamplingRule::new(1.5),
        SamplingRule::new(f64::NAN),
    ];
    let error = hermetic(&[])
        .tracing_sampling_rules(rules)
        .build()
        .unwrap_err();
    let messages: Vec<_> = error
        .problems()
        .iter()
        .map(|problem| problem.message())
        .collect();
    assert_eq!(
        messages,
        [
            "rule [1], sample_rate: expected a number between 0 and 1, not 1.5",
            "rule [2], sample_rate: expected a number between 0 and 1, not null",
        ]
    );
}

#[test]
fn good_rules_of_the_environment_stay() {
    let rules = r#"[{"sample_rate": 7}, {"service": "web", "sample_rate": 0.5}]"#;
    let config = hermetic(&[("DD_TRACE_SAMPLING_RULES", rules)])
        .build()
        .unwrap();
    assert_eq!(
        config.tracing_sampling_rules(),
        [SamplingRule::new(0.5).service("web")]
    );
    assert_eq!(
        config.problems()[0].message(),
        "rule [0], sample_rate: expected a number between 0 and 1, not 7"
    );
}

#[test]
fn span_rules_come_from_the_option_or_else_from_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("rules.json");
    std::fs::write(&file, r#"[{"service": "filed"}]"#).unwrap();
    let path = file.to_str().unwrap();
    let filed = hermetic(&[("DD_SPAN_SAMPLING_RULES_FILE", path)])
        .build()
        .unwrap();
    assert_eq!(
        filed.span_sampling_rules(),
        [SpanSamplingRule::new(1.0).service("filed")]
    );
    let both = [
        ("DD_SPAN_SAMPLING_RULES_FILE", path),
        ("DD_SPAN_SAMPLING_RULES", r#"[{"service": "inline"}]"#),
    ];
    let inline = hermetic(&both).build().unwrap();
    assert_eq!(
        inline.span_sampling_rules(),
        [SpanSamplingRule::new(1.0).service("inline")]
    );

    let missing = hermetic(&[("DD_SPAN_SAMPLING_RULES_FILE", "/no/such/file")])
        .build()
        .unwrap();
    assert!(missing.span_sampling_rules().is_empty());
    assert!(
        missing.problems()[0]
            .to_string()
            .starts_with("DD_SPAN_SAMPLING_RULES_FILE=/no/such/file (env): can't be read")
    );
    assert!(
        hermetic(&[])
            .span_sampling_rules_file("/no/such/file")
            .build()
            .is_err()
    );
}

#[test]
fn tags_stand_in_for_the_identity() {
    let tags = (
        "DD_TAGS",
        "service:random-service2,env:dev2,version:1.2.4,team:x",
    );
    let config = hermetic(&[tags]).build().unwrap();
    assert_eq!(
        (config.service(), config.env(), config.version()),
        ("random-service2", Some("dev2"), Some("1.2.4"))
    );
    assert_eq!(config.tags(), [("team".to_owned(), "x".to_owned())]);

    let own = [
        tags,
        ("DD_ENV", "dev"),
        ("DD_VERSION", "5.2.0"),
        ("DD_SERVICE", "random-service"),
    ];
    let config = hermetic(&own).build().unwrap();
    assert_eq!(
        (config.service(), config.env(), config.version()),
        ("random-service", Some("dev"), Some("5.2.0"))
    );

    // Tags that say nothing of it leave the option of a lower layer alone.
    let lower = (
        "OTEL_RESOURCE_ATTRIBUTES",
        "deployment.environment=otel,service.name=otel",
    );
    let config = hermetic(&[lower, ("DD_TAGS", "team:x,env:")])
        .build()
        .unwrap();
    assert_eq!((config.service(), config.env()), ("otel", Some("otel")));

    // A DD variable beats OpenTelemetry's, be it only in the tags.
    let config = hermetic(&[lower, tags]).build().unwrap();
    assert_eq!(
        (config.service(), config.env()),
        ("random-service2", Some("dev2"))
    );

    let config = hermetic(&[("DD_TAGS", "env:first,env:last")])
        .build()
        .unwrap();
    assert_eq!(config.env(), Some("last"));
}

#[test]
fn the_logs_intake_is_the_configured_one_or_the_sites() {
    let intake = |builder: DDConfigBuilder| {
        builder
            .build()
            .unwrap()
            .logs_intake_url()
            .map(ToString::to_string)
    };
    assert_eq!(intake(hermetic(&[]).datadog_site("datadoghq.eu")), None);
    let of_site = hermetic(&[]).datadog_site("eu1").api_key("0".repeat(32));
    assert_eq!(
        intake(of_site).as_deref(),
        Some("https://http-intake.logs.datadoghq.eu:443")
    );
    let given = hermetic(&[("DD_LOGS_DIRECT_SUBMISSION_URL", "http://127.0.0.1:9/x/")]);
    assert_eq!(intake(given).as_deref(), Some("http://127.0.0.1:9/x"));
}

#[test]
fn the_profiles_intake_is_used_only_without_an_agent() {
    let intake = |builder: DDConfigBuilder| {
        builder
            .build()
            .unwrap()
            .profiles_intake_url()
            .map(ToString::to_string)
    };
    let agentless = ("DD_PROFILING_AGENTLESS", "true");
    let url = ("DD_PROFILING_URL", "http://127.0.0.1:9/x/");
    let key = "0".repeat(32);
    assert_eq!(intake(hermetic(&[url]).api_key(key.clone())), None);
    assert_eq!(intake(hermetic(&[agentless])), None);
    let of_site = hermetic(&[agentless]).datadog_site("us5").api_key(key);
    assert_eq!(
        intake(of_site).as_deref(),
        Some("https://intake.profile.us5.datadoghq.com:443")
    );
    assert_eq!(
        intake(hermetic(&[agentless, url])).as_deref(),
        Some("http://127.0.0.1:9/x")
    );
}

#[test]
fn the_metrics_intake_is_used_only_without_an_agent() {
    let intake = |builder: DDConfigBuilder| {
        builder
            .build()
            .unwrap()
            .metrics_intake_url()
            .map(ToString::to_string)
    };
    let agentless = ("DD_METRICS_AGENTLESS", "true");
    let url = ("DD_METRICS_URL", "http://127.0.0.1:9/x/");
    let key = "0".repeat(32);
    assert_eq!(intake(hermetic(&[url]).api_key(key.clone())), None);
    assert_eq!(intake(hermetic(&[agentless])), None);
    let of_site = hermetic(&[agentless]).datadog_site("us5").api_key(key);
    assert_eq!(
        intake(of_site).as_deref(),
        Some("https://api.us5.datadoghq.com:443")
    );
    assert_eq!(
        intake(hermetic(&[agentless, url])).as_deref(),
        Some("http://127.0.0.1:9/x")
    );
}

#[test]
fn header_formats_of_their_own_beat_the_common_ones() {
    let variables = [
        ("DD_TRACE_PROPAGATION_STYLE", "b3"),
        ("DD_TRACE_PROPAGATION_STYLE_INJECT", "datadog"),
    ];
    let config = hermetic(&variables).build().unwrap();
    assert_eq!(config.propagation_style_extract(), [PropagationStyle::B3]);
    assert_eq!(
        config.propagation_style_inject(),
        [PropagationStyle::Datadog]
    );
}

#[test]
fn debug_is_a_log_level() {
    let level = |variables: &[_]| hermetic(variables).build().unwrap().log_level();
    assert_eq!(level(&[]), LogLevel::Error);
    assert_eq!(level(&[("DD_TRACE_DEBUG", "1")]), LogLevel::Debug);
    assert_eq!(
        level(&[("DD_TRACE_DEBUG", "1"), ("DD_LOG_LEVEL", "trace")]),
        LogLevel::Trace
    );
}

#[test]
fn the_version_of_git_is_asked_for() {
    // This test runs in a repository or in none; in either case the option decides whether that is looked at.
    let config = hermetic(&[]).build().unwrap();
    assert_eq!((config.version(), config.git_commit_sha()), (None, None));
    let config = hermetic(&[("DD_TAGS", "git.repository_url:https://u:p@git.example/a")])
        .git_commit_sha("abc")
        .build()
        .unwrap();
    assert_eq!(
        (config.git_commit_sha(), config.git_repository_url()),
        (Some("abc"), Some("https://git.example/a"))
    );
    let with_git = hermetic(&[]).version_use_git(true).build().unwrap();
    assert_eq!(with_git.version(), with_git.git_commit_sha());
    assert_eq!(
        hermetic(&[])
            .version_use_git(true)
            .version("1")
            .build()
            .unwrap()
            .version(),
        Some("1")
    );
}

#[test]
fn no_secret_is_shown() {
    const KEY: &str = "5ec2e75ec2e75ec2e75ec2e75ec2e75e";
    let url = format!("https://user:{KEY}@git.example/a");
    for builder in [
        hermetic(&[]).api_key(KEY),
        hermetic(&[("DD_API_KEY", KEY), ("DD_GIT_REPOSITORY_URL", &url)]),
    ] {
        let before = format!("{builder:?}");
        let config = builder.build().unwrap();
        assert_eq!(config.api_key().unwrap().expose(), KEY);
        let key = config.api_key().unwrap();
        for text in [
            before,
            format!(
                "{config:?} {config:#?} {key} {key:?} {} {:?}",
                config.describe(),
                config.describe()
            ),
        ] {
            assert!(!text.contains("5ec2e7"), "{text}");
        }
    }
    let bad = format!("{KEY} {KEY}");
    let url = format!("http://user:{KEY}@agent");
    let error = hermetic(&[])
        .api_key(&bad)
        .agent_url(&url)
        .build()
        .unwrap_err();
    let problems = hermetic(&[("DD_API_KEY", &bad), ("DD_TRACE_AGENT_URL", &url)])
        .build()
        .unwrap();
    assert_eq!(problems.problems().len(), 2);
    for text in [
        format!("{error} {error:?}"),
        format!("{:?}", problems.problems()),
    ] {
        assert!(!text.contains("5ec2e7"), "{text}");
    }
}

#[test]
fn a_problem_is_one_line() {
    let config = hermetic(&[("DD_TRACE_SAMPLE_RATE", &"a\n\u{1b}[31m".repeat(200))])
        .build()
        .unwrap();
    let line = config.problems()[0].to_string();
    assert!(
        !line.contains(char::is_control) && line.chars().count() < 500,
        "{line}"
    );
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_no_text_is_a_problem() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;
    let config = DDConfig::builder()
        .environment([("DD_ENV", OsString::from_vec(vec![0xff]))])
        .build()
        .unwrap();
    assert_eq!(config.env(), None);
    assert_eq!(
        config.problems()[0].to_string(),
        "DD_ENV (env): expected a text in UTF-8; not used"
    );
}

#[test]
fn the_description_is_an_aligned_table() {
    let config = hermetic(&[("DD_ENV", "prod")])
        .service("web")
        .build()
        .unwrap();
    let table = config.describe().to_string();
    let line = |option: &str| {
        table
            .lines()
            .find(|line| line.split(' ').next() == Some(option))
            .unwrap()
            .to_owned()
    };
    let (service, env) = (line("DD_SERVICE"), line("DD_ENV"));
    assert_eq!(
        service.split_whitespace().collect::<Vec<_>>(),
        ["DD_SERVICE", "web", "code", "service"]
    );
    assert_eq!(
        env.split_whitespace().collect::<Vec<_>>(),
        ["DD_ENV", "prod", "env", "DD_ENV"]
    );
    assert_eq!(service.find("web"), env.find("prod"));
    assert_eq!(service.find("code"), env.find("env "));
}

#[test]
fn a_config_can_be_shared() {
    fn shared<T: Clone + Send + Sync + 'static>(_: &T) {}
    let config = hermetic(&[]).build().unwrap();
    shared(&config);
    assert_eq!(config.runtime_id(), config.clone().runtime_id());
}

#[test]
fn a_variable_or_code_names_the_local_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| {
        let path = directory.path().join(name);
        std::fs::write(
            &path,
            format!("apm_configuration_default: {{DD_ENV: {name}}}"),
        )
        .unwrap();
        path.display().to_string()
    };
    let (one, two) = (file("one"), file("two"));
    let by_variable = |path: &str| DDConfig::builder().environment([("DD_CONFIG_FILE", path)]);

    let config = by_variable(&one).build().unwrap();
    assert_eq!(config.env(), Some("one"));
    let rows = config.describe();
    let row = |option| rows.rows().iter().find(|row| row.option == option).unwrap();
    assert_eq!(row("DD_ENV").origin, Origin::LocalFile);
    assert_eq!(row("DD_ENV").place, one);
    assert_eq!(row("DD_CONFIG_FILE").origin, Origin::Env);

    let config = by_variable(&one).config_file(&two).build().unwrap();
    assert_eq!(config.env(), Some("two"));

    let none = directory.path().join("none").display().to_string();
    let config = by_variable(&none).build().unwrap();
    let problem = config.problems()[0].to_string();
    assert!(
        problem.starts_with(&format!("{none} (local file): can't be read: ")),
        "{problem}"
    );
}

#[test]
fn a_launcher_sees_what_its_program_will() {
    let directory = tempfile::tempdir().unwrap();
    let commit = "1f7e0d7a1d9d7e3ba9a3c2a7b6b2a1c0d9e8f7a6";
    std::fs::create_dir(directory.path().join(".git")).unwrap();
    std::fs::write(directory.path().join(".git/HEAD"), commit).unwrap();
    let program = directory.path().join("shop.bin");
    std::fs::write(&program, "").unwrap();

    let config = DDConfig::builder()
        .environment([("DD_ENV", "prod"), ("DD_VERSION_USE_GIT", "false")])
        .for_program(&program, [("DD_VERSION_USE_GIT", "true")])
        .build()
        .unwrap();
    assert_eq!(
        (config.service(), config.env(), config.version()),
        ("shop", Some("prod"), Some(commit))
    );
    let rows = config.describe();
    let row = |option| rows.rows().iter().find(|row| row.option == option).unwrap();
    assert_eq!(
        row("DD_VERSION_USE_GIT").place,
        "DD_VERSION_USE_GIT, by the launcher"
    );
    assert_eq!(row("DD_ENV").place, "DD_ENV");

    let unknown = DDConfig::builder()
        .environment([("", "")])
        .for_program("", [("", ""); 0])
        .build()
        .unwrap();
    assert_eq!(unknown.service(), "");
}
