//! The container this process runs in, from what the kernel tells about its control groups.

use std::fs;
use std::path::{Path, PathBuf};

/// What the `Datadog-Container-ID` and `Datadog-Entity-ID` headers say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Container {
    pub(crate) id: Option<String>,
    /// `ci-` and the id; if there is none, `in-` and the inode of the control group, by which the Agent finds the container.
    pub(crate) entity: Option<String>,
    /// The file that told.
    pub(crate) place: String,
}

/// The files of the kernel. Others than the real ones only in tests.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    pub(crate) proc: PathBuf,
    pub(crate) cgroups: PathBuf,
}

impl Default for Kernel {
    fn default() -> Self {
        Self {
            proc: PathBuf::from("/proc/self"),
            cgroups: PathBuf::from("/sys/fs/cgroup"),
        }
    }
}

impl Kernel {
    /// Looks into `cgroup`, then `mountinfo`, then for the inode. (`datadog-go: statsd/container_linux.go`.)
    pub(crate) fn container(&self) -> Container {
        if !cfg!(target_os = "linux") {
            return Container::default();
        }
        let cgroup = self.proc.join("cgroup");
        let groups = fs::read_to_string(&cgroup).unwrap_or_default();
        if let Some(id) = groups.lines().find_map(id_of_cgroup) {
            return Container::named(id, &cgroup);
        }
        let mountinfo = self.proc.join("mountinfo");
        let mounts = fs::read_to_string(&mountinfo).unwrap_or_default();
        if let Some(id) = mounts.lines().find_map(id_of_mount) {
            return Container::named(id, &mountinfo);
        }
        self.inode(&groups).unwrap_or_default()
    }

    /// In the host's namespace the group is not the container's, which its name would have told.
    fn inode(&self, groups: &str) -> Option<Container> {
        if inode_of(&self.proc.join("ns/cgroup")) == Some(HOST_NAMESPACE) {
            return None;
        }
        let mut nodes = [Some("memory"), None]
            .into_iter()
            .filter_map(|controller| node_of(groups, controller, &self.cgroups));
        let (node, inode) = nodes.find_map(|node| inode_of(&node).map(|inode| (node, inode)))?;
        Some(Container {
            id: None,
            entity: Some(format!("in-{inode}")),
            place: node.display().to_string(),
        })
    }
}

/// The inode that the kernel gives the host's namespace (`include/linux/proc_ns.h, PROC_CGROUP_INIT_INO`).
const HOST_NAMESPACE: u64 = 0xEFFF_FFFB;

impl Container {
    fn named(id: &str, place: &Path) -> Self {
        Self {
            id: Some(id.to_owned()),
            entity: Some(format!("ci-{id}")),
            place: place.display().to_string(),
        }
    }
}

#[cfg(unix)]
fn inode_of(path: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).ok().map(|metadata| metadata.ino())
}

#[cfg(not(unix))]
fn inode_of(_: &Path) -> Option<u64> {
    None
}

/// The directory of the group: of a controller in version 1 of control groups, of the one hierarchy in version 2.
fn node_of(groups: &str, controller: Option<&str>, mounted: &Path) -> Option<PathBuf> {
    groups.lines().find_map(|line| {
        let (_, controllers, path) = split_cgroup(line)?;
        let is_it = controllers
            .split(',')
            .any(|name| name == controller.unwrap_or_default());
        is_it.then(|| {
            mounted
                .join(controller.unwrap_or_default())
                .join(path.trim_start_matches('/'))
        })
    })
}

/// `hierarchy:controllers:path`.
fn split_cgroup(line: &str) -> Option<(&str, &str, &str)> {
    let (hierarchy, rest) = line.split_once(':')?;
    let (controllers, path) = rest.split_once(':')?;
    let is_number = !hierarchy.is_empty() && hierarchy.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then_some((hierarchy, controllers, path))
}

/// The id at the end of a line of `cgroup`: after anything, before a `.scope` of systemd, and with Podman one level more.
fn id_of_cgroup(line: &str) -> Option<&str> {
    let (_, _, path) = split_cgroup(line)?;
    let path = path.trim_end_matches(' ');
    let above = path
        .rsplit_once('/')
        .filter(|(_, name)| !name.is_empty() && !name.contains('\t'))
        .map(|(above, _)| above);
    let ids = [
        Some(path),
        path.strip_suffix(".scope"),
        above.and_then(|above| above.strip_suffix(".scope")),
    ];
    ids.into_iter().flatten().find_map(id_at_end)
}

/// The id in the path of the container's `hostname` file, which a container runtime mounts: the rightmost of the line.
///
/// A directory `sandboxes` holds the ids of pods, not of containers.
fn id_of_mount(line: &str) -> Option<&str> {
    let (above, id) = line.split_whitespace().rev().find_map(|field| {
        let (before, _) = field.rsplit_once("hostname")?;
        let (directory, _) = before.rsplit_once('/')?;
        let names: Vec<_> = directory.split('/').collect();
        names
            .windows(2)
            .rev()
            .find(|pair| !pair[0].is_empty() && is_id(pair[1]))
            .map(|pair| (pair[0], pair[1]))
    })?;
    (above != "sandboxes").then_some(id)
}

fn is_id(name: &str) -> bool {
    id_at_end(name).is_some_and(|id| id.len() == name.len())
}

/// The id that `text` ends with: 64 hex digits, a UUID, a task of ECS or a container of Garden. Only lower case counts.
fn id_at_end(text: &str) -> Option<&str> {
    let dashes = |byte| byte == b'-' || byte == b'_';
    let dash = |byte| byte == b'-';
    hex_groups(text, &[64], dash)
        .or_else(|| hex_groups(text, &[8, 4, 4, 4, 12], dashes))
        .or_else(|| hex_groups(text, &[8, 4, 4, 4, 4], dash))
        .or_else(|| task(text))
}

/// The end of `text`, if it is hex digits in groups of these lengths with a separator between them.
fn hex_groups<'a>(text: &'a str, lengths: &[usize], separates: fn(u8) -> bool) -> Option<&'a str> {
    let length = lengths.iter().sum::<usize>() + lengths.len() - 1;
    let found = text.get(text.len().checked_sub(length)?..)?;
    let mut rest = found.as_bytes();
    for (index, length) in lengths.iter().enumerate() {
        if index > 0 {
            let (first, after) = rest.split_first()?;
            separates(*first).then_some(())?;
            rest = after;
        }
        let (group, after) = rest.split_at(*length);
        group.iter().copied().all(is_hex).then_some(())?;
        rest = after;
    }
    Some(found)
}

/// 32 hex digits, a dash, and a number.
fn task(text: &str) -> Option<&str> {
    let number = text.bytes().rev().take_while(u8::is_ascii_digit).count();
    let before = text[..text.len() - number].strip_suffix('-')?;
    let id = hex_groups(before, &[32], |_| false)?;
    (number > 0).then(|| &text[before.len() - id.len()..])
}

fn is_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}
