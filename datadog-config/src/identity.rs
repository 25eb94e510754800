//! Who this process is.

use std::ffi::OsStr;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::SystemTime;

use crate::environment;
use crate::tags::normalize_tag;

/// A random name of this process, and of each process forked from it.
///
/// A fork copies the parent's memory, so the id is kept with the process id it was made for; each process adds its own.
#[derive(Debug)]
pub(crate) struct RuntimeId {
    process: u32,
    text: String,
    of_child: OnceLock<Box<Self>>,
}

impl RuntimeId {
    pub(crate) fn new() -> Self {
        Self::made_by(std::process::id())
    }

    /// The id of the process that asks.
    pub(crate) fn get(&self) -> &str {
        self.of(std::process::id())
    }

    fn of(&self, process: u32) -> &str {
        let mut id = self;
        while id.process != process {
            id = id.of_child.get_or_init(|| Box::new(Self::made_by(process)));
        }
        &id.text
    }

    fn made_by(process: u32) -> Self {
        Self {
            process,
            text: random_uuid(process),
            of_child: OnceLock::new(),
        }
    }
}

/// A UUID of version 4 (RFC 9562). Random enough to be unique: std's hash keys come from the system, the process id and the
/// clock tell forked processes apart, which have the same keys.
fn random_uuid(process: u32) -> String {
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(process);
    let since_epoch = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    hasher.write_u128(since_epoch.as_nanos());
    let high = hasher.finish();
    hasher.write_u64(high);
    let low = hasher.finish();
    let version_4 = (high & !0xf000) | 0x4000;
    let variant_1 = (low & !(0b11 << 62)) | (0b10 << 62);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        version_4 >> 32,
        version_4 >> 16 & 0xffff,
        version_4 & 0xffff,
        variant_1 >> 48,
        variant_1 & 0xffff_ffff_ffff,
    )
}

/// The executable this process runs.
pub(crate) fn own_executable() -> Option<PathBuf> {
    std::env::current_exe().ok()
}

/// The executable that runs if this process starts `program`, links followed as [`own_executable`] does.
pub(crate) fn executable_of(program: &OsStr) -> Option<PathBuf> {
    let path = Path::new(program);
    if program.as_encoded_bytes().contains(&b'/') {
        return path.canonicalize().ok();
    }
    let mut found = environment::search_path().map(|directory| directory.join(path));
    found.find(|path| path.is_file())?.canonicalize().ok()
}

/// Where the process with this executable comes from: the executable, and the working directory.
pub(crate) fn places(executable: Option<&Path>) -> impl Iterator<Item = PathBuf> {
    let executable = executable.map(Path::to_owned);
    executable.into_iter().chain(std::env::current_dir().ok())
}

/// What says of a file only that it is a program.
const EXTENSIONS: [&str; 11] = [
    "bash", "bin", "exe", "js", "lua", "php", "pl", "py", "rb", "sh", "zsh",
];

/// The name of a program: that of its file, without the extension of a script or an executable. The service, if nobody names
/// one. `shop-1.2` has no extension. `None` if there is no name.
pub fn program_name(program: impl AsRef<Path>) -> Option<String> {
    let program = program.as_ref();
    let extension = program.extension().and_then(OsStr::to_str);
    let name = match extension.is_some_and(|extension| EXTENSIONS.contains(&extension)) {
        true => program.file_stem(),
        false => program.file_name(),
    };
    let name = name?.to_string_lossy().into_owned();
    (!name.trim().is_empty()).then_some(name)
}

/// The name of the host, as the system knows it.
pub(crate) fn system_hostname() -> Option<String> {
    let name = hostname::get().ok()?.to_string_lossy().into_owned();
    (!name.trim().is_empty()).then_some(name)
}

/// The tags that tell processes of one service apart, in the form of `_dd.tags.process`: sorted, with commas between them.
/// (`dd-trace-go: internal/processtags/processtags.go`.)
pub(crate) fn process_tags(
    executable: Option<&Path>,
    service: &str,
    named_by_user: bool,
) -> String {
    let directory = |path: Option<&Path>| {
        let name = path?.file_name()?.to_string_lossy().into_owned();
        (name != "bin").then_some(name)
    };
    let service = if named_by_user {
        ("svc.user", "true")
    } else {
        ("svc.auto", service)
    };
    let tags = [
        (
            "entrypoint.basedir",
            directory(executable.and_then(Path::parent)),
        ),
        (
            "entrypoint.name",
            executable
                .and_then(Path::file_name)
                .map(|name| name.to_string_lossy().into_owned()),
        ),
        (
            "entrypoint.type",
            executable.is_some().then(|| "executable".to_owned()),
        ),
        (
            "entrypoint.workdir",
            directory(std::env::current_dir().ok().as_deref()),
        ),
        (service.0, Some(service.1.to_owned())),
    ];
    let written = tags.iter().filter_map(|(key, value)| {
        let tag = format!("{key}:{}", value.as_deref()?);
        Some(normalize_tag(&tag).into_owned())
    });
    written.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_uuids_of_version_4_and_differ() {
        let ids: HashSet<_> = (0..1000).map(|_| random_uuid(1)).collect();
        assert_eq!(ids.len(), 1000);
        for id in ids {
            let lengths: Vec<_> = id.split('-').map(str::len).collect();
            assert_eq!(lengths, [8, 4, 4, 4, 12], "{id}");
            assert!(
                id.bytes().all(|byte| byte == b'-'
                    || byte.is_ascii_digit()
                    || (b'a'..=b'f').contains(&byte)),
                "{id}"
            );
            assert_eq!(&id[14..15], "4", "{id}");
            assert!(["8", "9", "a", "b"].contains(&&id[19..20]), "{id}");
        }
    }

    #[test]
    fn each_process_has_its_own_and_keeps_it() {
        let id = RuntimeId::new();
        let own = id.get();
        assert_eq!(own, id.get());
        // A fork copies the memory: there, the same value is asked by another process.
        let process = std::process::id();
        let child = id.of(process + 1);
        assert_ne!(child, own);
        assert_eq!(child, id.of(process + 1));
        let grandchild = id.of(process + 2);
        assert!(grandchild != child && grandchild != own);
        assert_eq!(id.of(process), own);
    }

    #[test]
    fn process_tags_are_sorted_and_normal() {
        let executable = own_executable();
        let tags = process_tags(executable.as_deref(), "My Service", false);
        let keys: Vec<_> = tags
            .split(',')
            .filter_map(|tag| Some(tag.split_once(':')?.0))
            .collect();
        assert!(keys.is_sorted(), "{tags}");
        assert!(tags.contains("entrypoint.type:executable"), "{tags}");
        assert!(tags.ends_with("svc.auto:my_service"), "{tags}");
        assert!(process_tags(None, "x", true).ends_with("svc.user:true"));
    }

    #[test]
    fn a_program_has_the_name_of_its_file() {
        for (program, name) in [
            ("./shop.sh", Some("shop")),
            ("/opt/shop/bin/shop.bin", Some("shop")),
            ("./shop-1.2", Some("shop-1.2")),
            ("shop", Some("shop")),
            (".sh", Some(".sh")),
            ("", None),
            ("/", None),
        ] {
            assert_eq!(program_name(program).as_deref(), name, "{program}");
        }
    }

    #[test]
    fn a_program_is_found_as_a_shell_finds_it() {
        let directory = tempfile::tempdir().unwrap();
        let (real, link) = (directory.path().join("real"), directory.path().join("link"));
        std::fs::write(&real, "").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let real = real.canonicalize().unwrap();
        assert_eq!(executable_of(link.as_os_str()), Some(real));
        let shell = executable_of(OsStr::new("sh")).unwrap();
        assert!(shell.is_absolute(), "{shell:?}");
        for none in ["", "no-program-has-this-name", "./no-program-has-this-name"] {
            assert_eq!(executable_of(OsStr::new(none)), None);
        }
    }
}
