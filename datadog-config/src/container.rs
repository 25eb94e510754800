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
        .filter(|(_, name)| !name.is_empty() && !name.contains([' ', '\t']))
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

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "3726184226f5d3147c25fdeab5b60097e378e8a720503a5e19ecfdf29f869860";

    /// The cases of `libdatadog: libdd-common/src/entity_id/unix/container_id.rs`, and of its test files.
    #[test]
    fn lines_of_cgroup() {
        for (line, id) in [
            ("", None),
            ("other_line", None),
            (
                "10:hugetlb:/kubepods/burstable/podfd52ef25-a87d-11e9-9423-0800271a638e/8c046cb0b72cd4c99f51b5591cd5b095967f58ee003710a45280c28ee1a9c7fa",
                Some("8c046cb0b72cd4c99f51b5591cd5b095967f58ee003710a45280c28ee1a9c7fa"),
            ),
            (
                "11:devices:/kubepods.slice/kubepods-pod97f1ae73_7ad9_11ec_b4a7_9a35488b4fab.slice/3291bfddf3f3f8d87cb0cd1245fe9c45b2e1e5a9b6fe3de1bddf041aedaecbab",
                Some("3291bfddf3f3f8d87cb0cd1245fe9c45b2e1e5a9b6fe3de1bddf041aedaecbab"),
            ),
            (
                "11:hugetlb:/ecs/55091c13-b8cf-4801-b527-f4601742204d/432624d2150b349fe35ba397284dea788c2bf66b885d14dfc1569b01890ca7da",
                Some("432624d2150b349fe35ba397284dea788c2bf66b885d14dfc1569b01890ca7da"),
            ),
            (
                "1:name=systemd:/docker/34dc0b5e626f2c5c4c5170e34b10e7654ce36f0fcd532739f4445baabea03376",
                Some("34dc0b5e626f2c5c4c5170e34b10e7654ce36f0fcd532739f4445baabea03376"),
            ),
            (
                "1:name=systemd:/uuid/34dc0b5e-626f-2c5c-4c51-70e34b10e765",
                Some("34dc0b5e-626f-2c5c-4c51-70e34b10e765"),
            ),
            (
                "1:name=systemd:/uuid/34dc0b5e_626f_2c5c_4c51_70e34b10e765",
                Some("34dc0b5e_626f_2c5c_4c51_70e34b10e765"),
            ),
            (
                "1:name=systemd:/ecs/34dc0b5e626f2c5c4c5170e34b10e765-1234567890",
                Some("34dc0b5e626f2c5c4c5170e34b10e765-1234567890"),
            ),
            (
                "1:name=systemd:/docker/34dc0b5e626f2c5c4c5170e34b10e7654ce36f0fcd532739f4445baabea03376.scope",
                Some("34dc0b5e626f2c5c4c5170e34b10e7654ce36f0fcd532739f4445baabea03376"),
            ),
            (
                "0::/machine.slice/libpod-93afc7bc3ce42ad052d2926ffacfba941803bfae080941d1e1375d9d46b6a281.scope/container",
                Some("93afc7bc3ce42ad052d2926ffacfba941803bfae080941d1e1375d9d46b6a281"),
            ),
            (
                "1:name=systemd:/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod2d3da189_6407_48e3_9ab6_78188d75e609.slice/docker-7b8952daecf4c0e44bbcefe1b5c5ebc7b4839d4eefeccefe694709d3809b6199.scope",
                Some("7b8952daecf4c0e44bbcefe1b5c5ebc7b4839d4eefeccefe694709d3809b6199"),
            ),
            (
                "13:name=systemd:/docker/3726184226f5d3147c25fdeab5b60097e378e8a720503a5e19ecfdf29f869860    ",
                Some(ID),
            ),
            (
                "12:pids:/docker/     3726184226f5d3147c25fdeab5b60097e378e8a720503a5e19ecfdf29f869860    ",
                Some(ID),
            ),
            (
                "13:name=systemd:/docker/3726184226f5d3147c25fdeab5b60097e378e8a720503a5e19ecfdf29f86986",
                None,
            ),
            (
                "13:name=systemd:/docker/3726184226f5d3147g25fdeab5b60097e378e8a720503a5e19ecfdf29f869860",
                None,
            ),
            (
                "1:name=systemd:/system.slice/garden.service/garden/6f265890-5165-7fab-6b52-18d1",
                Some("6f265890-5165-7fab-6b52-18d1"),
            ),
            (
                "10:freezer:/garden/6f265890-5165-7fab-6b52-18d1",
                Some("6f265890-5165-7fab-6b52-18d1"),
            ),
            (
                "1:name=systemd:/uuid/5a081c13-b8cf-4801-b427-f4601742204d",
                Some("5a081c13-b8cf-4801-b427-f4601742204d"),
            ),
            ("1:name=systemd:/garden/6f26589-5165-7fab-6b52-18d1", None),
            (
                "Invalid line with valid container ID 9d5b23edb1ba181e8910389a99906598d69ac9a0ead109ee55730cc416d95f7f",
                None,
            ),
            (
                "This line is also invalid 1:name=systemd:/ecs/34dc0b5e626f2c5c4c5170e34b10e765-1234567890",
                None,
            ),
            (
                "14:name=systemd:/docker/9D5B23EDB1BA181E8910389A99906598D69AC9A0EAD109EE55730CC416D95F7F",
                None,
            ),
            ("10:net_prio:/docker/                 ", None),
            ("0::/", None),
            ("1:memory:/ecs/34dc0b5e626f2c5c4c5170e34b10e765-", None),
        ] {
            assert_eq!(id_of_cgroup(line), id, "{line}");
        }
    }

    /// The telling lines of `datadog-go: statsd/container_test.go, TestParseMountinfo`.
    #[test]
    fn lines_of_mountinfo() {
        let docker = "0cfa82bf3ab29da271548d6a044e95c948c6fd2f7578fb41833a44ca23da425f";
        let task = "fc7038bc73a8d3850c66ddbfb0b2901afa378bfcbb942cc384b051767e4ac6b0";
        for (line, id) in [
            (
                "627 608 259:1 /var/lib/docker/containers/0cfa82bf3ab29da271548d6a044e95c948c6fd2f7578fb41833a44ca23da425f/hostname /etc/hostname rw,relatime - ext4 /dev/root rw,discard,errors=remount-ro",
                Some(docker),
            ),
            (
                "626 608 259:1 /var/lib/docker/containers/0cfa82bf3ab29da271548d6a044e95c948c6fd2f7578fb41833a44ca23da425f/resolv.conf /etc/resolv.conf rw,relatime - ext4 /dev/root rw",
                None,
            ),
            (
                "2784 2775 8:1 /var/lib/containerd/io.containerd.grpc.v1.cri/sandboxes/c5866f3bfef020a8c045540b4a05dd9d193443740be76437a6130c7759ab2076/hostname /etc/hostname rw,nosuid,nodev,relatime - ext4 /dev/sda1 rw,commit=30",
                None,
            ),
            (
                "2282 2269 8:1 /var/lib/containerd/io.containerd.grpc.v1.cri/sandboxes/c0a82a3506b0366c9666f6dbe71c783abeb26ba65e312e918a49e10a277196d0/hostname /host/var/run/containerd/io.containerd.runtime.v2.task/k8s.io/fc7038bc73a8d3850c66ddbfb0b2901afa378bfcbb942cc384b051767e4ac6b0/rootfs/etc/hostname rw,nosuid,nodev,relatime - ext4 /dev/sda1 rw,commit=30",
                Some(task),
            ),
            (
                "608 554 0:42 / / rw,relatime master:289 - overlay overlay rw,upperdir=/var/lib/docker/overlay2/241a77e9a6a048e54d5b5700afaeab6071cb5ffef1fd2acbebbf19935a429897/diff",
                None,
            ),
            ("", None),
            ("hostname /hostname //hostname a/hostname", None),
        ] {
            assert_eq!(id_of_mount(line), id, "{line}");
        }
    }

    struct Files(tempfile::TempDir);

    impl Files {
        fn new(files: &[(&str, &str)]) -> Self {
            let root = tempfile::tempdir().unwrap();
            for (name, text) in files {
                let path = root.path().join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            Self(root)
        }

        fn container(&self) -> Container {
            Kernel {
                proc: self.0.path().join("proc"),
                cgroups: self.0.path().join("cgroups"),
            }
            .container()
        }

        fn in_inode(&self, path: &str) -> Option<String> {
            Some(format!(
                "in-{}",
                inode_of(&self.0.path().join(path)).unwrap()
            ))
        }
    }

    #[test]
    fn the_cgroup_names_the_container() {
        let files = Files::new(&[
            ("proc/cgroup", &format!("1:cpu:/\n0::/docker/{ID}\n")),
            ("proc/mountinfo", ""),
        ]);
        let container = files.container();
        assert_eq!(container.id.as_deref(), Some(ID));
        assert_eq!(container.entity, Some(format!("ci-{ID}")));
        assert!(container.place.ends_with("proc/cgroup"));
    }

    #[test]
    fn behind_a_namespace_the_mounts_do() {
        let mount = format!("1 2 3 /var/lib/docker/containers/{ID}/hostname /etc/hostname rw\n");
        let files = Files::new(&[("proc/cgroup", "0::/\n"), ("proc/mountinfo", &mount)]);
        let container = files.container();
        assert_eq!(container.id.as_deref(), Some(ID));
        assert!(container.place.ends_with("proc/mountinfo"));
    }

    #[test]
    fn without_a_name_the_inode_tells() {
        let version_2 = Files::new(&[
            ("proc/cgroup", "0::/custom/path\n"),
            ("cgroups/custom/path/x", ""),
        ]);
        assert_eq!(
            version_2.container().entity,
            version_2.in_inode("cgroups/custom/path")
        );
        assert_eq!(version_2.container().id, None);

        let groups = "0::/\n10:blkio:/\n9:memory,pids:/user.slice/session-14.scope\n";
        let version_1 = Files::new(&[
            ("proc/cgroup", groups),
            ("cgroups/memory/user.slice/session-14.scope/x", ""),
        ]);
        assert_eq!(
            version_1.container().entity,
            version_1.in_inode("cgroups/memory/user.slice/session-14.scope")
        );
        // A controller that is not mounted leaves the one hierarchy of version 2.
        let both = Files::new(&[("proc/cgroup", groups), ("cgroups/x", "")]);
        assert_eq!(both.container().entity, both.in_inode("cgroups"));
    }

    #[test]
    fn nothing_tells() {
        assert_eq!(Files::new(&[]).container(), Container::default());
        let no_memory = Files::new(&[("proc/cgroup", "10:blkio:/user.slice\n"), ("cgroups/x", "")]);
        assert_eq!(no_memory.container(), Container::default());
    }

    proptest! {
        #[test]
        fn no_line_panics(line in any::<String>(), tail in "(1::/)?[0-9a-f./ _-]{0,80}(hostname)?") {
            for line in [line, tail] {
                let _ = id_of_cgroup(&line);
                let _ = id_of_mount(&line);
            }
        }
    }
}
