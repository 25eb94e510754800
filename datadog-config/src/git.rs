//! The commit and the repository of the source, read from `.git`. No program is run.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// What `.git` says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Git {
    pub(crate) commit: String,
    /// The URL of the remote `origin`, without a user and password.
    pub(crate) repository: Option<String>,
    /// The directory that told.
    pub(crate) place: String,
}

/// Looks for a repository above each of `starts`, the nearest first, and takes the first with a commit.
pub(crate) fn find(starts: impl IntoIterator<Item = PathBuf>) -> Option<Git> {
    starts.into_iter().find_map(|start| {
        start
            .ancestors()
            .find_map(|directory| read(&directory.join(".git")))
    })
}

fn read(dot_git: &Path) -> Option<Git> {
    let own = git_directory(dot_git)?;
    // A work tree has its own HEAD; branches and settings are those of the repository it belongs to.
    let common =
        text(&own.join("commondir")).map_or_else(|| own.clone(), |path| own.join(path.trim()));
    let head = text(&own.join("HEAD"))?;
    let commit = match head.trim().strip_prefix("ref:") {
        Some(name) => branch(&common, name.trim())?,
        None => commit_id(&head)?,
    };
    let repository = text(&common.join("config")).as_deref().and_then(origin_url);
    Some(Git {
        commit,
        repository,
        place: own.display().to_string(),
    })
}

/// `.git` itself, or the directory that the file `.git` of a work tree or a submodule names.
fn git_directory(dot_git: &Path) -> Option<PathBuf> {
    if dot_git.is_dir() {
        return Some(dot_git.to_owned());
    }
    let link = text(dot_git)?;
    Some(dot_git.parent()?.join(link.strip_prefix("gitdir:")?.trim()))
}

/// A branch has a file of its own, or a line among the packed ones.
fn branch(common: &Path, name: &str) -> Option<String> {
    let is_name = name.starts_with("refs/") && !name.split('/').any(|part| part == "..");
    if !is_name {
        return None;
    }
    if let Some(commit) = text(&common.join(name)).as_deref().and_then(commit_id) {
        return Some(commit);
    }
    let packed = File::open(common.join("packed-refs")).ok()?;
    let mut lines = BufReader::new(packed.take(LARGEST_PACKED))
        .lines()
        .map_while(Result::ok);
    lines.find_map(|line| {
        line.split_once(' ')
            .filter(|(_, packed)| *packed == name)
            .and_then(|(id, _)| commit_id(id))
    })
}

/// A SHA-1 or SHA-256 in hex.
fn commit_id(text: &str) -> Option<String> {
    let id = text.trim();
    let is_id = matches!(id.len(), 40 | 64) && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| id.to_owned())
}

/// The `url` of the section `[remote "origin"]`.
fn origin_url(config: &str) -> Option<String> {
    let mut lines = config
        .lines()
        .map(str::trim)
        .skip_while(|line| *line != r#"[remote "origin"]"#)
        .skip(1);
    let section = lines.by_ref().take_while(|line| !line.starts_with('['));
    let mut settings = section.filter_map(|line| line.split_once('='));
    let (_, url) = settings.find(|(key, _)| key.trim().eq_ignore_ascii_case("url"))?;
    Some(without_credentials(url.trim()))
}

/// `https://user:password@host/…` without what is before the `@`. (`dd-trace-go: internal/gitmetadata.go, removeCredentials`.)
pub(crate) fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

/// Far above a real `HEAD` or `config`.
const LARGEST: u64 = 1 << 20;
/// Lines of about 60 bytes: some hundred thousand branches and tags.
const LARGEST_PACKED: u64 = 32 << 20;

fn text(path: &Path) -> Option<String> {
    let size = fs::metadata(path).ok().filter(fs::Metadata::is_file)?.len();
    (size <= LARGEST).then(|| fs::read_to_string(path).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "1f7e0d7a1d9d7e3ba9a3c2a7b6b2a1c0d9e8f7a6";

    fn repository(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn commit(root: &tempfile::TempDir, start: &str) -> Option<String> {
        let start = root.path().join(start);
        // Above the directory of the test there may be anything.
        let found = find([start])?;
        Path::new(&found.place)
            .starts_with(root.path())
            .then_some(found.commit)
    }

    #[test]
    fn a_branch_of_its_own_file() {
        let config = "[core]\n\tbare = false\n[remote \"up\"]\n\turl = no\n[remote \"origin\"]\n\tfetch = x\n\turl = https://me:secret@git.example/a/b.git\n[user]\n\turl = no\n";
        let root = repository(&[
            (".git/HEAD", "ref: refs/heads/main\n"),
            (".git/refs/heads/main", &format!("{COMMIT}\n")),
            (".git/config", config),
            ("src/deep/x", ""),
        ]);
        let git = find([root.path().join("src/deep")]).unwrap();
        assert_eq!(git.commit, COMMIT);
        assert_eq!(
            git.repository.as_deref(),
            Some("https://git.example/a/b.git")
        );
        assert_eq!(Path::new(&git.place), root.path().join(".git"));
    }

    #[test]
    fn a_packed_branch() {
        let packed = format!(
            "# pack-refs with: peeled\n{} refs/heads/other\n{COMMIT} refs/heads/main\n^{}\n",
            "a".repeat(40),
            "b".repeat(40)
        );
        let root = repository(&[
            (".git/HEAD", "ref: refs/heads/main\n"),
            (".git/packed-refs", &packed),
        ]);
        assert_eq!(commit(&root, "").as_deref(), Some(COMMIT));
    }

    #[test]
    fn no_branch() {
        let root = repository(&[(".git/HEAD", COMMIT)]);
        assert_eq!(commit(&root, "").as_deref(), Some(COMMIT));
        let sha256 = COMMIT.repeat(2)[..64].to_owned();
        let root = repository(&[(".git/HEAD", &sha256)]);
        assert_eq!(commit(&root, ""), Some(sha256));
    }

    #[test]
    fn a_work_tree() {
        let root = repository(&[
            ("tree/.git", "gitdir: ../main/.git/worktrees/tree\n"),
            ("main/.git/worktrees/tree/HEAD", "ref: refs/heads/side\n"),
            ("main/.git/worktrees/tree/commondir", "../..\n"),
            ("main/.git/refs/heads/side", COMMIT),
        ]);
        assert_eq!(commit(&root, "tree").as_deref(), Some(COMMIT));
    }

    #[test]
    fn what_is_broken_is_no_repository() {
        for head in [
            "",
            "ref: refs/heads/none",
            "ref: refs/../../secret",
            "ref: /etc/passwd",
            "abc",
            &format!("{COMMIT}0"),
        ] {
            let root = repository(&[(".git/HEAD", head), ("secret", COMMIT)]);
            assert_eq!(commit(&root, ""), None, "{head}");
        }
        let root = repository(&[(".git", "gitdir: nowhere")]);
        assert_eq!(commit(&root, ""), None);
    }

    #[test]
    fn the_first_start_with_a_repository_counts() {
        let (none, one) = (repository(&[]), repository(&[(".git/HEAD", COMMIT)]));
        let found = find([none.path().to_owned(), one.path().to_owned()]).unwrap();
        assert_eq!(found.commit, COMMIT);
    }

    #[test]
    fn credentials_are_cut_out() {
        for (url, without) in [
            ("https://user:pass@host/a@b", "https://host/a@b"),
            ("https://host/a", "https://host/a"),
            ("ssh://git@host:22/a", "ssh://host:22/a"),
            ("git@host:a/b.git", "git@host:a/b.git"),
            ("https://a@b@host", "https://host"),
        ] {
            assert_eq!(without_credentials(url), without, "{url}");
        }
    }
}
