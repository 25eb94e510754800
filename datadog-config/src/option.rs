//! The one table of options. Parsing, the builder, `describe()` and the reference page all come from it.

use crate::kind::{self, Kind};
use crate::modules;

/// Calls the macro `$consume` with the table.
///
/// A row is: the doc comment, the name of the builder's setter, the kind of value, `=` the documented variable and its aliases,
/// the signal it belongs to, and if there is one the default and the `OTEL_*` variables that mean the same.
macro_rules! option_table {
    ($consume:ident) => { $consume! {
        // Read through the accessors of what they lead to: identity and endpoints.
        inputs {
            /// The name of the service. Default: the name of the executable.
            service: Text = "DD_SERVICE", General, otel "OTEL_SERVICE_NAME" "OTEL_RESOURCE_ATTRIBUTES";
            /// The environment the service runs in, such as `prod`.
            env: Text = "DD_ENV", General, otel "OTEL_RESOURCE_ATTRIBUTES";
            /// The version of the service.
            version: Text = "DD_VERSION", General, otel "OTEL_RESOURCE_ATTRIBUTES";
            /// Tags of everything that is sent. `service`, `env` and `version` among them stand in for the options of these names.
            tags: Tags = "DD_TAGS", General, otel "OTEL_RESOURCE_ATTRIBUTES";
            /// The name of the host. Default: what the system says.
            hostname: Text = "DD_HOSTNAME", General;
            /// Use the git commit as the version if no version is set. It is read from the `.git` above the executable, else above
            /// the working directory; no program is run.
            version_use_git: Flag = "DD_VERSION_USE_GIT", General, default "false";
            /// The git commit that was built. Default: the tag `git.commit.sha`; with `version_use_git`, what `.git` says.
            git_commit_sha: Text = "DD_GIT_COMMIT_SHA", General;
            /// The git repository that was built. Default: the tag `git.repository_url`; with `version_use_git`, what `.git` says.
            git_repository_url: Text = "DD_GIT_REPOSITORY_URL", General;
            /// The Datadog site that data sent without an Agent goes to.
            datadog_site: Site = "DD_SITE", General, default "datadoghq.com";
            /// The API key. Needed for what is sent without an Agent.
            api_key: Secret = "DD_API_KEY", General;
            /// The Agent's address. Beats the host, the port and the search for a socket.
            agent_url: TraceUrl = "DD_TRACE_AGENT_URL", General;
            /// The Agent's host, for traces and for metrics. Default: localhost.
            agent_host: Host = "DD_AGENT_HOST" | "DD_TRACE_AGENT_HOSTNAME", General;
            /// The Agent's port for traces. Default: 8126.
            tracing_port: Port = "DD_TRACE_AGENT_PORT" | "DD_AGENT_PORT", Traces;
            /// The address of DogStatsD. Beats the host, the port and the search for a socket.
            dogstatsd_url: StatsUrl = "DD_DOGSTATSD_URL", Metrics;
            /// The host of DogStatsD. Default: the Agent's.
            dogstatsd_host: Host = "DD_DOGSTATSD_HOST", Metrics;
            /// The port of DogStatsD. Default: 8125.
            metrics_port: Port = "DD_DOGSTATSD_PORT", Metrics;
            /// Base URL of the metrics intake, without the paths `/api/v2/series` and `/api/v1/distribution_points`. Default: the site's API, if there is an API key. Used with `DD_METRICS_AGENTLESS`.
            metrics_url: Intake = "DD_METRICS_URL", Metrics;
            /// Base URL of the logs intake, without the path `/api/v2/logs`. Default: the site's intake, if there is an API key.
            logs_direct_submission_url: Intake = "DD_LOGS_DIRECT_SUBMISSION_URL", Logs;
            /// Base URL of the profiles intake, without the path `/api/v2/profile`. Default: the site's intake, if there is an API key. Used with `DD_PROFILING_AGENTLESS`.
            profiling_url: Intake = "DD_PROFILING_URL", Profiles;
            /// The file that is read instead of the host's local file. Only the environment and code can name it.
            config_file: Text = "DD_CONFIG_FILE", General;
            /// What the Datadog admission controller knows of this container.
            external_env: Text = "DD_EXTERNAL_ENV", General;
            /// Whether the tags of the process (name and directory of the executable, working directory) are sent.
            process_tags_enabled: Flag = "DD_EXPERIMENTAL_PROPAGATE_PROCESS_TAGS_ENABLED", General, default "true";
            /// Whether the client logs as much as it can about itself. Without effect so far.
            debug: Flag = "DD_TRACE_DEBUG", General, default "false", otel "OTEL_LOG_LEVEL";
            /// How much the client logs about itself. Without effect so far.
            log_level: Level = "DD_LOG_LEVEL", General, default "error";
            /// Which header formats are read and written, first one first.
            propagation_style: Styles = "DD_TRACE_PROPAGATION_STYLE", Traces,
                default "datadog,tracecontext,baggage", otel "OTEL_PROPAGATORS";
            /// Which header formats are read. Default: those of `DD_TRACE_PROPAGATION_STYLE`.
            propagation_style_extract: Styles = "DD_TRACE_PROPAGATION_STYLE_EXTRACT", Traces;
            /// Which header formats are written. Default: those of `DD_TRACE_PROPAGATION_STYLE`.
            propagation_style_inject: Styles = "DD_TRACE_PROPAGATION_STYLE_INJECT", Traces;
            /// Rules that keep single spans of traces that are not kept.
            span_sampling_rules: SpanRules = "DD_SPAN_SAMPLING_RULES", Traces;
            /// A file with the JSON of `DD_SPAN_SAMPLING_RULES`, read if that option is not set.
            span_sampling_rules_file: Text = "DD_SPAN_SAMPLING_RULES_FILE", Traces;
        }
        // Read as they are.
        values {
            /// Whether the hostname is sent with the spans.
            report_hostname: Flag = "DD_TRACE_REPORT_HOSTNAME", Traces, default "false";
            /// Whether the local client may start an Agent. Without effect so far.
            agent_run: Flag = "DD_AGENT_RUN", General, default "false";
            /// The version of the Agent that `agent_run` asks for. Without effect so far.
            agent_version: Text = "DD_AGENT_VERSION", General;
            /// Time for one request to the Agent, from connecting to the end of its answer.
            agent_timeout: Seconds = "DD_TRACE_AGENT_TIMEOUT_SECONDS" | "DD_TRACE_AGENT_TIMEOUT", General, default "2";
            /// Time that the end of the client may take to deliver what is still buffered.
            shutdown_timeout: Seconds = "DD_SHUTDOWN_TIMEOUT", General, default "2";
            /// The pod's id, which the Datadog admission controller sets. It goes with metrics as the tag `dd.internal.entity_id`.
            internal_entity_id: Text = "DD_ENTITY_ID", Metrics;
            /// Whether the container is named to the Agent, which adds the container's tags.
            origin_detection_enabled: Flag = "DD_ORIGIN_DETECTION_ENABLED", General, default "true";
            /// How many of the container's tags the Agent may add to metrics. Default: as the Agent is set up.
            cardinality: CardinalityName = "DD_CARDINALITY" | "DATADOG_CARDINALITY", Metrics;
            /// Whether traces are made and sent.
            tracing_enabled: Flag = "DD_TRACE_ENABLED", Traces, default "true", otel "OTEL_TRACES_EXPORTER";
            /// Whether the client patches supported libraries when it starts, as `patch` does. Default: unset, which is false. Set to false explicitly, the layer for `tracing` reads nothing of libraries that are not patched.
            tracing_patch: Flag = "DD_TRACE_PATCH", Traces, default "false";
            /// The libraries that `tracing_patch` means; the others are then left out. Default: all that are supported.
            tracing_modules: List = "DD_TRACE_PATCH_MODULES", Traces;
            /// Switches libraries off, or on again: pairs of a name and a bool, such as `redis:false`. Beats `DD_TRACE_<NAME>_ENABLED`, which does the same for one library.
            patch_modules: Switches = "DD_PATCH_MODULES", Traces;
            /// The part of the traces that is kept, if no rule matches. Default: as the Agent says.
            tracing_sample_rate: Rate = "DD_TRACE_SAMPLE_RATE", Traces, otel "OTEL_TRACES_SAMPLER" "OTEL_TRACES_SAMPLER_ARG";
            /// How many traces a second are kept at most, if a rule or a rate is set.
            tracing_rate_limit: PerSecond = "DD_TRACE_RATE_LIMIT", Traces, default "100";
            /// Rules that decide which traces are kept; the first that matches counts.
            tracing_sampling_rules: TraceRules = "DD_TRACE_SAMPLING_RULES", Traces;
            /// Whether the first header format that matches ends the search.
            propagation_extract_first: Flag = "DD_TRACE_PROPAGATION_EXTRACT_FIRST", Traces, default "false";
            /// Which baggage that a request brings becomes tags of its first span, `baggage.KEY`; `*` for all of it.
            baggage_tag_keys: List = "DD_TRACE_BAGGAGE_TAG_KEYS", Traces, default "user.id,session.id,account.id";
            /// What becomes of the trace context that a request brings.
            propagation_behavior_extract: Behavior = "DD_TRACE_PROPAGATION_BEHAVIOR_EXTRACT", Traces, default "continue";
            /// Whether trace ids have 128 bits; 64 otherwise.
            trace_id_128_bit_generation_enabled: Flag = "DD_TRACE_128_BIT_TRACEID_GENERATION_ENABLED", Traces, default "true";
            /// Whether logs carry all 128 bits of a trace id.
            trace_id_128_bit_logging_enabled: Flag = "DD_TRACE_128_BIT_TRACEID_LOGGING_ENABLED", Traces, default "true";
            /// Whether the finished spans of a long trace are sent before its end.
            partial_flush_enabled: Flag = "DD_TRACE_PARTIAL_FLUSH_ENABLED", Traces, default "true";
            /// After how many finished spans a part of a trace is sent.
            partial_flush_min_spans: Count = "DD_TRACE_PARTIAL_FLUSH_MIN_SPANS", Traces, default "300";
            /// Whether traces that run for long are shown while they run, where the Agent takes that: their finished spans, and the first one as it is so far.
            long_running_enabled: Flag = "DD_TRACE_EXPERIMENTAL_LONG_RUNNING_ENABLED", Traces, default "false";
            /// After what time a trace is shown first, with `DD_TRACE_EXPERIMENTAL_LONG_RUNNING_ENABLED`.
            long_running_initial_flush_interval: Seconds = "DD_TRACE_EXPERIMENTAL_LONG_RUNNING_INITIAL_FLUSH_INTERVAL", Traces, default "20";
            /// How often a trace is shown anew. What is not shown for 15 minutes Datadog drops.
            long_running_flush_interval: Seconds = "DD_TRACE_EXPERIMENTAL_LONG_RUNNING_FLUSH_INTERVAL", Traces, default "120";
            /// Most memory for finished spans, in bytes, until the Agent takes them. What is encoded has at most two thirds of it.
            tracing_buffer_bytes: Count = "DD_TRACE_WRITER_BUFFER_SIZE_BYTES", Traces, default "31457280";
            /// Whether trace statistics are computed here, before sampling, where the Agent takes them. Traces that are not kept are then not sent.
            stats_computation_enabled: Flag = "DD_TRACE_STATS_COMPUTATION_ENABLED" | "DD_TRACE_COMPUTE_STATS", Traces, default "true";
            /// The newest format in which traces are sent: `1.0` is used where the Agent says that it takes it, else `0.4`; Agents 7.73 to 7.78 get `0.4` where they compute the statistics, which would lose the language.
            tracing_protocol: Protocol = "DD_TRACE_AGENT_PROTOCOL_VERSION" | "DD_TRACE_API_VERSION", Traces, default "1.0";
            /// Other names for services: pairs of the name that a span has and the one that is sent.
            service_mapping: Tags = "DD_SERVICE_MAPPING", Traces;
            /// Whether spans of clients and producers get a `peer.service` from their other tags, such as `db.name` or `out.host`, where they have none.
            peer_service_defaults_enabled: Flag = "DD_TRACE_PEER_SERVICE_DEFAULTS_ENABLED", Traces, default "false";
            /// Other names for the services that requests go to: pairs of the `peer.service` that a span has and the one that is sent.
            peer_service_mapping: Tags = "DD_TRACE_PEER_SERVICE_MAPPING", Traces;
            /// Whether the git commit and repository are sent with traces and profiles.
            git_metadata_enabled: Flag = "DD_TRACE_GIT_METADATA_ENABLED", Traces, default "true";
            /// Whether the active span of each thread can be read by profilers outside of the process, in OpenTelemetry's form; the Cargo feature `otel-context` is needed, Linux, and a program that is linked with `-Wl,--export-dynamic-symbol=otel_thread_ctx_v1`.
            otel_context_enabled: Flag = "DD_TRACE_OTEL_CTX_ENABLED", Traces, default "false";
            /// Which statuses of answers mark the spans of HTTP servers as failed.
            http_server_error_statuses: Statuses = "DD_TRACE_HTTP_SERVER_ERROR_STATUSES", Traces, default "500-599";
            /// Which statuses of answers mark the spans of HTTP clients as failed.
            http_client_error_statuses: Statuses = "DD_TRACE_HTTP_CLIENT_ERROR_STATUSES", Traces, default "400-499";
            /// Headers that become tags: `Name`, or `Name:tag` for a tag of another name than `http.request.headers.name`.
            header_tags: List = "DD_TRACE_HEADER_TAGS", Traces;
            /// What is cut out of query strings: a regular expression in the syntax of the crate `regex-lite`; nothing is, if it is empty. Default: what looks like a password, key or token.
            query_string_obfuscation: Pattern = "DD_TRACE_OBFUSCATION_QUERY_STRING_REGEXP", Traces;
            /// Whether URLs are sent without their query strings.
            query_string_disabled: Flag = "DD_TRACE_HTTP_URL_QUERY_STRING_DISABLED", Traces, default "false";
            /// Whether the address of the client that makes a request is sent.
            client_ip_enabled: Flag = "DD_TRACE_CLIENT_IP_ENABLED", Traces, default "false";
            /// The one header that tells the address of the client. Default: the usual ones.
            client_ip_header: Text = "DD_TRACE_CLIENT_IP_HEADER", Traces;
            /// How many different groups of spans have statistics of their own in 10 seconds; the others share one.
            stats_cardinality_limit: Count = "DD_TRACE_STATS_CARDINALITY_LIMIT", Traces, default "7000";
            /// How many different resources statistics tell apart in 10 seconds.
            stats_resource_cardinality_limit: Count = "DD_TRACE_STATS_RESOURCE_CARDINALITY_LIMIT", Traces, default "1024";
            /// How many different HTTP endpoints statistics tell apart in 10 seconds.
            stats_http_endpoint_cardinality_limit: Count = "DD_TRACE_STATS_HTTP_ENDPOINT_CARDINALITY_LIMIT", Traces, default "512";
            /// How many different peers statistics tell apart in 10 seconds.
            stats_peer_tags_cardinality_limit: Count = "DD_TRACE_STATS_PEER_TAGS_CARDINALITY_LIMIT", Traces, default "512";
            /// Longest `x-datadog-tags` header that is read or written, in bytes.
            x_datadog_tags_max_length: TagsLength = "DD_TRACE_X_DATADOG_TAGS_MAX_LENGTH", Traces, default "512";
            /// Where logs go: to the logs intake, or as lines of JSON to the standard output, a file or the Agent's log port. A reader of the standard output that stops holds the worker up for at most 2 s each time that logs are due, and on systems other than Linux until it goes on.
            logs_output: Output = "DD_LOGS_OUTPUT", Logs, default "intake";
            /// Attributes of logs whose values are not sent: the last parts of their keys. Case, `_` and `-` make no difference.
            logs_redacted_keys: List = "DD_LOGS_REDACTED_KEYS", Logs,
                default "access_token,api_key,app_key,application_key,auth_token,authorization,client_secret,cookie,credentials,credit_card,csrf_token,cvv,jwt,passphrase,passwd,password,private_key,pwd,refresh_token,secret,secret_key,session_id,set_cookie,ssn,token,x_api_key,x_auth_token";
            /// What is replaced in the messages of logs and in their attributes that are texts, beside the redacted keys; the Cargo feature `scrubbing` is needed. The rules are applied one after the other, and look like those of the Agent's `log_processing_rules` of the type `mask_sequences`. Default: nothing.
            logs_scrub_rules: ScrubRules = "DD_LOGS_SCRUB_RULES", Logs;
            /// The part of the logs of a level that is kept: all of a trace or none, as the trace's id says. Default: everything.
            logs_sample_rates: LevelRates = "DD_LOGS_SAMPLE_RATES", Logs;
            /// How many logs of a level are taken a second at most. Default: no limit.
            logs_rate_limits: LevelLimits = "DD_LOGS_RATE_LIMITS", Logs;
            /// Most memory for log records, in bytes: a third of it until they are batched, the rest until the intake takes them.
            logs_buffer_bytes: Count = "DD_LOGS_BUFFER_SIZE_BYTES", Logs, default "25165824";
            /// Whether logs carry the ids of the active span.
            logs_injection: Flag = "DD_LOGS_INJECTION", Logs, default "true";
            /// Whether metrics go straight to the metrics intake, with the API key, instead of to DogStatsD. Events and service checks are dropped then.
            metrics_agentless: Flag = "DD_METRICS_AGENTLESS", Metrics, default "false";
            /// Whether metrics of the process itself are sent every 10 seconds: CPU, memory, threads, files (feature `runtime-metrics`).
            runtime_metrics_enabled: Flag = "DD_RUNTIME_METRICS_ENABLED", Metrics, default "false", otel "OTEL_METRICS_EXPORTER";
            /// Whether profiles are made and sent. With `auto`, from when on the program runs for 30 seconds and made a span.
            profiling_enabled: Profiling = "DD_PROFILING_ENABLED", Profiles, default "false";
            /// Time between two uploads of a profile.
            profiling_upload_period: Seconds = "DD_PROFILING_UPLOAD_PERIOD" | "DD_PROFILING_UPLOAD_INTERVAL", Profiles, default "60";
            /// Time for one upload of a profile.
            profiling_upload_timeout: Seconds = "DD_PROFILING_UPLOAD_TIMEOUT", Profiles, default "10";
            /// The most calls of a stack in profiles, counted from the innermost. Never more than 256, and 128 where the program allocates, waits or panics.
            profiling_max_frames: Count = "DD_PROFILING_MAX_FRAMES", Profiles, default "256";
            /// Whether profiles go straight to the profiles intake, with the API key, instead of to the Agent.
            profiling_agentless: Flag = "DD_PROFILING_AGENTLESS", Profiles, default "false";
            /// Tags of profiles, beside those of everything.
            profiling_tags: Tags = "DD_PROFILING_TAGS", Profiles;
            /// Where to keep profiles as files, too: the beginning of their paths. Each upload adds a file `PREFIX.PROCESS-ID.NUMBER.pprof`, which nobody deletes. Default: nowhere.
            profiling_output_pprof: Text = "DD_PROFILING_OUTPUT_PPROF", Profiles;
            /// Whether profiles show which code allocates, in programs that installed the `ProfiledAllocator`.
            profiling_allocation_enabled: Flag = "DD_PROFILING_ALLOCATION_ENABLED", Profiles, default "true";
            /// Whether they show which code holds memory, too. Costs some nanoseconds for each allocation that is freed.
            profiling_heap_enabled: Flag = "DD_PROFILING_HEAP_ENABLED", Profiles, default "true";
            /// Whether profiles show where the program panicked.
            profiling_exception_enabled: Flag = "DD_PROFILING_EXCEPTION_ENABLED", Profiles, default "true";
            /// Whether crashes are reported to error tracking: a fatal signal writes a file, which the next start of the program sends to the Agent; panics are logged, with their stacks. Linux only.
            crashtracking_enabled: Flag = "DD_CRASHTRACKING_ENABLED", Profiles, default "false";
            /// The directory where reports of crashes wait for the next start, which has to find them again: not one that goes with the container. Default: `/tmp/datadog-crashes-USER-ID`.
            crashtracking_directory: Text = "DD_CRASHTRACKING_DIRECTORY", Profiles;
            /// Whether profiles show which code waits for locks, in programs that use this client's `Mutex` and `RwLock`.
            profiling_lock_enabled: Flag = "DD_PROFILING_LOCK_ENABLED", Profiles, default "true";
            /// Whether profiles show how long code takes by the clock, waiting included: of threads that have a span, 11 times a second. Interrupts their system calls, of which some end with `EINTR` then, such as `poll` and reads from sockets with a timeout; a blocking connection of the crate `redis` with a read timeout fails by it. Linux only.
            profiling_walltime_enabled: Flag = "DD_PROFILING_WALLTIME_ENABLED", Profiles, default "false";
            /// Whether samples of profiles carry the ids of the active span, by which the profile of a trace is found.
            profiling_code_hotspots_enabled: Flag = "DD_PROFILING_CODE_HOTSPOTS_COLLECTION_ENABLED" | "DD_PROFILING_CODEHOTSPOTS_ENABLED", Profiles, default "true";
            /// Whether samples of profiles carry the resource of the local root span, if that is of a kind whose resources tell no secrets.
            profiling_endpoint_collection_enabled: Flag = "DD_PROFILING_ENDPOINT_COLLECTION_ENABLED", Profiles, default "true";
            /// Whether profiles tell how often each such resource was served, 1,000 of them at most. Needs `DD_PROFILING_ENDPOINT_COLLECTION_ENABLED`.
            profiling_endpoint_count_enabled: Flag = "DD_PROFILING_ENDPOINT_COUNT_ENABLED", Profiles, default "false";
            /// Whether each sample of a profile carries its time, for a timeline. Profiles grow by that: a busy core has 6,000 samples in a minute.
            profiling_timeline_enabled: Flag = "DD_PROFILING_TIMELINE_ENABLED" | "DD_PROFILING_TIMELINE_ENABLE", Profiles, default "false";
            /// Whether attacks are detected. Without effect so far.
            security_enabled: Flag = "DD_APPSEC_ENABLED", Security, default "false";
            /// Whether Datadog may change this configuration at run time. Without effect so far.
            remote_configuration_enabled: Flag = "DD_REMOTE_CONFIGURATION_ENABLED" | "DD_REMOTE_CONFIG_ENABLED", General, default "false";
            /// Time between two questions for changes. Without effect so far.
            remote_configuration_poll_interval: PollSeconds =
                "DD_REMOTE_CONFIG_POLL_INTERVAL_SECONDS" | "DD_REMOTECONFIG_POLL_SECONDS", General, default "5";
            /// Whether the client tells Datadog how it is set up. Without effect so far.
            telemetry_enabled: Flag = "DD_INSTRUMENTATION_TELEMETRY_ENABLED", General, default "true";
            /// Time between two signs of life. Without effect so far.
            telemetry_heartbeat_interval: Seconds = "DD_TELEMETRY_HEARTBEAT_INTERVAL", General, default "60";
            /// Whether the configuration is logged once at the start, at the level info, and what the Agent takes once it was asked.
            startup_logs: Flag = "DD_TRACE_STARTUP_LOGS", General, default "false";
        }
    } };
}
pub(crate) use option_table;

/// What a row of the table says about an option.
#[derive(Debug)]
#[non_exhaustive]
pub struct OptionInfo {
    /// The name of the builder's setter, such as `tracing_enabled`.
    pub field: &'static str,
    /// The documented variable, such as `DD_TRACE_ENABLED`.
    pub name: &'static str,
    /// Other variables with the same meaning. The documented one beats them.
    pub aliases: &'static [&'static str],
    /// OpenTelemetry's variables that lead to a value of this option.
    pub otel: &'static [&'static str],
    /// Completes the sentence "expected …".
    pub expects: &'static str,
    /// The value if nobody sets one, as it would be written in the variable.
    pub default: Option<&'static str>,
    /// Whether the value is a secret.
    pub sensitive: bool,
    /// What the option is about.
    pub signal: Signal,
    /// What the option does, in a sentence or two.
    pub help: &'static str,
}

/// The part of the client that an option is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Signal {
    /// All of it.
    General,
    /// Metrics.
    Metrics,
    /// Logs.
    Logs,
    /// Traces.
    Traces,
    /// Profiles.
    Profiles,
    /// Application security.
    Security,
}

/// Every option there is, in the order of the reference page.
pub fn options() -> &'static [OptionInfo] {
    OPTIONS
}

/// Whether an option has this name or alias, or a [library](crate::modules) is switched by it.
pub(crate) fn is_name(name: &str) -> bool {
    is_option(name) || modules::named_by(name).is_some()
}

/// Whether an option has this name or alias.
pub(crate) fn is_option(name: &str) -> bool {
    OPTIONS
        .iter()
        .any(|option| option.name == name || option.aliases.contains(&name))
}

macro_rules! infos {
    ($( $section:ident { $(
        $(#[doc = $help:literal])+
        $field:ident: $kind:ident = $name:literal $(| $alias:literal)*, $signal:ident
        $(, default $default:literal)? $(, otel $($otel:literal)+)?;
    )+ } )+) => {
        /// The place of each option in the table.
        #[allow(non_camel_case_types, reason = "the names are those of the setters")]
        #[derive(Clone, Copy, Debug)]
        pub(crate) enum Id { $($( $field, )+)+ }

        pub(crate) static OPTIONS: &[OptionInfo] = &[$($( OptionInfo {
            field: stringify!($field),
            name: $name,
            aliases: &[$( $alias, )*],
            otel: &[$($( $otel, )+)?],
            expects: <kind::$kind as Kind>::EXPECTS,
            default: option_table_default!($($default)?),
            sensitive: <kind::$kind as Kind>::SENSITIVE,
            signal: Signal::$signal,
            help: concat!($( $help, )+),
        }, )+)+];
    };
}

macro_rules! option_table_default {
    () => {
        None
    };
    ($default:literal) => {
        Some($default)
    };
}

option_table!(infos);

impl Id {
    pub(crate) fn info(self) -> &'static OptionInfo {
        &OPTIONS[self as usize]
    }
}
