//! What follows from the options: identity and addresses.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::config::{Fact, Inner, Settings};
use crate::container::Kernel;
use crate::discover::{self, SOCKETS};
use crate::endpoint::IntakeUrl;
use crate::error::Problem;
use crate::git::{self, Git};
use crate::identity::{self, RuntimeId};
use crate::kind::{Kind, Reading, SpanRules};
use crate::modules::ModuleSwitches;
use crate::option::Id;
use crate::origin::Origin;
use crate::resolve::{Setting, ValueSource};

/// What is looked at beside the options. Other than the real thing only in tests.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    /// The directory of the Agent's sockets.
    pub(crate) sockets: PathBuf,
    pub(crate) kernel: Kernel,
    pub(crate) executable: Option<PathBuf>,
}

impl Default for Host {
    fn default() -> Self {
        Self {
            sockets: PathBuf::from(SOCKETS),
            kernel: Kernel::default(),
            executable: identity::own_executable(),
        }
    }
}

pub(crate) fn derive(
    mut settings: Settings,
    modules: ModuleSwitches,
    host: &Host,
    mut problems: Vec<Problem>,
) -> Inner {
    read_span_rules(&mut settings, &mut problems);
    let executable = host.executable.as_deref();
    let git = if settings.version_use_git.value {
        git::find(identity::places(executable))
    } else {
        None
    };
    let container = host.kernel.container();
    let service = named(&settings, &settings.service, "service").unwrap_or_else(|| {
        Fact::found(
            executable.and_then(identity::program_name),
            "the executable's name",
        )
    });
    let process_tags = settings.process_tags_enabled.value.then(|| {
        let named_by_user = service.origin != Origin::Calculated;
        identity::process_tags(
            executable,
            service.value.as_deref().unwrap_or_default(),
            named_by_user,
        )
    });
    Inner {
        env: named(&settings, &settings.env, "env").unwrap_or_else(Fact::none),
        version: named(&settings, &settings.version, "version")
            .or_else(|| from_git(git.as_ref(), |git| Some(git.commit.clone())))
            .unwrap_or_else(Fact::none),
        git_commit: named(&settings, &settings.git_commit_sha, "git.commit.sha")
            .or_else(|| from_git(git.as_ref(), |git| Some(git.commit.clone())))
            .unwrap_or_else(Fact::none),
        git_repository: named(
            &settings,
            &settings.git_repository_url,
            "git.repository_url",
        )
        .map(Fact::without_credentials)
        .or_else(|| from_git(git.as_ref(), |git| git.repository.clone()))
        .unwrap_or_else(Fact::none),
        hostname: Fact::of(&settings.hostname)
            .unwrap_or_else(|| Fact::found(identity::system_hostname(), "the system's name")),
        container_id: Fact::found(container.id, &container.place),
        entity_id: Fact::found(container.entity, &container.place),
        tags: plain_tags(&settings.tags.value),
        process_tags,
        runtime_id: RuntimeId::new(),
        trace_agent: discover::trace_agent(&settings, &host.sockets),
        dogstatsd: discover::dogstatsd(&settings, &host.sockets),
        logs_intake: intake(
            &settings,
            &settings.logs_direct_submission_url,
            "http-intake.logs",
        ),
        metrics_intake: settings
            .metrics_agentless
            .value
            .then(|| intake(&settings, &settings.metrics_url, "api"))
            .flatten(),
        profiles_intake: settings
            .profiling_agentless
            .value
            .then(|| intake(&settings, &settings.profiling_url, "intake.profile"))
            .flatten(),
        modules,
        service,
        problems,
        settings,
    }
}

impl Fact {
    /// What an option says, if anybody set it.
    fn of(setting: &Setting<Option<String>>) -> Option<Self> {
        let ValueSource { origin, place, .. } = &setting.source;
        setting.value.clone().map(|value| Self {
            value: Some(value),
            origin: *origin,
            place: place.clone(),
        })
    }

    /// What was found out, and how; nothing, if it was not.
    pub(crate) fn found(value: Option<String>, how: &str) -> Self {
        let origin = if value.is_some() {
            Origin::Calculated
        } else {
            Origin::Default
        };
        let place = if value.is_some() {
            how.to_owned()
        } else {
            String::new()
        };
        Self {
            value,
            origin,
            place,
        }
    }

    fn none() -> Self {
        Self::found(None, "")
    }

    fn without_credentials(self) -> Self {
        Self {
            value: self.value.as_deref().map(git::without_credentials),
            ..self
        }
    }
}

/// What the option says, or the tag of `DD_TAGS` that stands in for it. The higher layer wins; in one layer the option does.
fn named(settings: &Settings, option: &Setting<Option<String>>, tag: &str) -> Option<Fact> {
    let ValueSource { origin, place, .. } = &settings.tags.source;
    let mut tags = settings.tags.value.iter().rev();
    let tagged = tags.find(|(key, value)| key == tag && !value.is_empty());
    let tagged = tagged.map(|(_, value)| Fact {
        value: Some(value.clone()),
        origin: *origin,
        place: place.clone(),
    });
    match (Fact::of(option), tagged) {
        (Some(own), Some(tagged)) if own.origin < tagged.origin => Some(tagged),
        (own, tagged) => own.or(tagged),
    }
}

fn from_git(git: Option<&Git>, value: fn(&Git) -> Option<String>) -> Option<Fact> {
    let git = git?;
    Some(Fact::found(Some(value(git)?), &git.place))
}

/// The tags that are nothing but tags.
fn plain_tags(tags: &[(String, String)]) -> Vec<(String, String)> {
    tags.iter()
        .filter(|(key, _)| !["service", "env", "version"].contains(&key.as_str()))
        .cloned()
        .collect()
}

/// The URL that is set, else that of the site's host with this name, if there is an API key to send.
fn intake(settings: &Settings, url: &Setting<Option<IntakeUrl>>, name: &str) -> Option<IntakeUrl> {
    let of_site = || {
        let site = &settings.datadog_site.value;
        settings
            .api_key
            .value
            .as_ref()
            .map(|_| IntakeUrl::https(format!("{name}.{site}")))
    };
    url.value.clone().or_else(of_site)
}

/// Takes the rules from the file, if there is one and the rules themselves are not set.
fn read_span_rules(settings: &mut Settings, problems: &mut Vec<Problem>) {
    let (file, rules) = (
        &settings.span_sampling_rules_file,
        &mut settings.span_sampling_rules,
    );
    let (Some(path), Origin::Default) = (&file.value, rules.source.origin) else {
        return;
    };
    let origin = file.source.origin;
    let Reading { value, errors, .. } = match read_text(Path::new(path)) {
        Ok(text) => SpanRules::read(&text),
        Err(error) => Reading::bad(format!("can't be read: {error}")),
    };
    let option = Id::span_sampling_rules_file.info();
    let name = if origin == Origin::Code {
        option.field
    } else {
        option.name
    };
    problems.extend(
        errors
            .iter()
            .map(|message| Problem::refused(option, name, path, origin, message)),
    );
    if let Some(value) = value {
        let text = Some(format!("{} rules", value.len()));
        *rules = Setting {
            value,
            source: ValueSource {
                origin,
                place: path.clone(),
                text,
            },
        };
    }
}

fn read_text(path: &Path) -> io::Result<String> {
    const LARGEST: u64 = 1 << 20;
    let mut text = String::new();
    File::open(path)?.take(LARGEST).read_to_string(&mut text)?;
    Ok(text)
}
