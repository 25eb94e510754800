//! Where reports wait for the next start of the program.
#![expect(unsafe_code, reason = "the standard library locks no files yet")]

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use datadog_config::DDConfig;

/// Of more reports the oldest are deleted: those of a program that crashes whenever it starts, before it sends them.
const MOST_REPORTS: usize = 16;

/// The most bytes of a report. Its largest part is the memory map, of some 100 bytes a mapping.
const MOST_BYTES: u64 = 8 << 20;

const ENDING: &str = "crash";

/// A directory of this user's, with the reports of all programs that have this name.
pub(super) struct Directory {
    path: PathBuf,
    program: String,
}

/// A file of a process, locked as long as that lives: the system unlocks it at the end, however that comes.
pub(super) struct ReportFile {
    path: PathBuf,
    file: File,
}

impl Directory {
    /// That of the config, made where it is missing.
    pub(super) fn of(config: &DDConfig) -> Result<Self, String> {
        // SAFETY: it takes nothing, and can't fail.
        let user = unsafe { libc::geteuid() };
        let path = config.crashtracking_directory().map_or_else(
            || PathBuf::from(format!("/tmp/datadog-crashes-{user}")),
            PathBuf::from,
        );
        let program = std::env::current_exe().ok();
        let program = program.as_deref().and_then(Path::file_name);
        let program = program.map(|name| name.to_string_lossy().into_owned());
        let directory = Self {
            path,
            program: program.unwrap_or_default(),
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory.path)
            .map_err(|error| directory.complain(&error))?;
        let complain = |error| directory.complain(&error);
        let found = fs::metadata(&directory.path).map_err(complain)?;
        let link = fs::symlink_metadata(&directory.path).map_err(complain)?;
        // In a directory for everybody, somebody else could have made it, or a link to one of this user's.
        if found.uid() != user || link.uid() != user || found.mode() & 0o022 != 0 {
            let error = "it must belong to this user, and nobody else may write to it";
            return Err(directory.complain(&error));
        }
        Ok(directory)
    }

    /// What is wrong with it, for the user.
    pub(super) fn complain(&self, error: &dyn std::fmt::Display) -> String {
        format!("{}: {error}", self.path.display())
    }

    /// A new file of this process, that begins with a line. Nobody finds it before it is locked.
    pub(super) fn create(&self, process: &str, line: &str) -> io::Result<ReportFile> {
        let name = format!("{}.{process}", self.program);
        let hidden = self.path.join(format!("{name}.new"));
        let path = self.path.join(format!("{name}.{ENDING}"));
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&hidden)?;
        if !lock(&file) {
            return Err(io::Error::last_os_error());
        }
        writeln!(file, "{line}")?;
        fs::rename(hidden, &path)?;
        Ok(ReportFile { path, file })
    }

    /// The files of processes of this program that have ended, the oldest first. Nobody else has them now.
    pub(super) fn left_over(&self) -> Vec<ReportFile> {
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten();
        let mut files: Vec<(SystemTime, ReportFile)> = entries
            .filter(|entry| self.is_own(&entry.path()))
            .filter_map(|entry| {
                let path = entry.path();
                let file = OpenOptions::new()
                    .read(true)
                    .write(true)
                    .custom_flags(libc::O_NOFOLLOW)
                    .open(&path)
                    .ok()?;
                let about = file.metadata().ok()?;
                // Not one that somebody else sent and deleted just now.
                (about.is_file() && lock(&file) && fs::exists(&path).ok()?).then_some(())?;
                Some((about.modified().ok()?, ReportFile { path, file }))
            })
            .collect();
        files.sort_by_key(|(modified, _)| *modified);
        let too_many = files.len().saturating_sub(MOST_REPORTS);
        for (_, file) in files.drain(..too_many) {
            file.remove();
        }
        files.into_iter().map(|(_, file)| file).collect()
    }

    fn is_own(&self, path: &Path) -> bool {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let program = stem.rsplit_once('.').map(|(program, _)| program);
        path.extension().is_some_and(|ending| ending == ENDING) && program == Some(&*self.program)
    }
}

impl ReportFile {
    /// The same file, to be written to at its end.
    pub(super) fn writable(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    pub(super) fn read(&self) -> io::Result<String> {
        let mut bytes = Vec::new();
        (&self.file).take(MOST_BYTES).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    pub(super) fn remove(self) {
        // What can't be deleted is found again, and sent again.
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether the file is this process's now.
fn lock(file: &File) -> bool {
    // SAFETY: the file is open; the rest is numbers.
    unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(path: &Path) -> Result<Directory, String> {
        let config = DDConfig::builder()
            .environment([("", "")])
            .crashtracking_directory(path.display().to_string());
        Directory::of(&config.build().unwrap())
    }

    #[test]
    fn a_file_is_found_once_its_process_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let directory = directory(&folder.path().join("crashes")).unwrap();
        let file = directory.create("1-2", "whose").unwrap();
        assert_eq!(directory.left_over().len(), 0);
        drop(file);
        let [first] = directory.left_over().try_into().ok().unwrap();
        assert_eq!(directory.left_over().len(), 0, "another process has it");
        assert_eq!(first.read().unwrap(), "whose\n");
        first.remove();
        assert_eq!(directory.left_over().len(), 0);
    }

    #[test]
    fn only_the_newest_of_many_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let directory = directory(&folder.path().join("crashes")).unwrap();
        for number in 0..20 {
            drop(directory.create(&number.to_string(), "").unwrap());
        }
        fs::write(directory.path.join("another.1.crash"), "").unwrap();
        assert_eq!(directory.left_over().len(), MOST_REPORTS);
        assert_eq!(
            fs::read_dir(&directory.path).unwrap().count(),
            MOST_REPORTS + 1
        );
    }

    #[test]
    fn a_directory_that_others_write_to_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("crashes");
        fs::create_dir(&path).unwrap();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        fs::set_permissions(&path, open).unwrap();
        let error = directory(&path).err().unwrap();
        assert!(error.contains("nobody else"), "{error}");
        let (own, link) = (folder.path().join("own"), folder.path().join("link"));
        fs::create_dir(&own).unwrap();
        std::os::unix::fs::symlink(&own, &link).unwrap();
        assert!(directory(&link).is_ok());
        // Only root may.
        if std::os::unix::fs::lchown(&link, Some(12345), None).is_ok() {
            let error = directory(&link).err().unwrap();
            assert!(error.contains("this user"), "{error}");
        }
        let error = directory(Path::new("/proc/none/crashes")).err().unwrap();
        assert!(error.contains("/proc/none/crashes"), "{error}");
    }
}
