//! The figures of the process.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Instant;

use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike};

use super::{Source, Watched};
use crate::Gauge;

/// Tells what the process used since the last time, and what it holds.
pub(super) struct Process {
    /// `/proc/self`.
    directory: &'static Path,
    used: Option<Used>,
    user: Gauge,
    system: Gauge,
    percent: Gauge,
    voluntary: Gauge,
    involuntary: Gauge,
    minor_faults: Gauge,
    major_faults: Gauge,
    resident: Gauge,
    mapped: Gauge,
    threads: Gauge,
    files: Gauge,
    /// Whether a log line said that something can't be read.
    complained: bool,
}

/// What the process used since its start. The kernel counts threads that ended, too, which no file of `/proc` does for
/// context switches.
struct Used {
    at: Instant,
    usage: Usage,
}

/// What the process holds.
#[derive(Debug, PartialEq)]
struct Held {
    resident_bytes: f64,
    mapped_bytes: f64,
    threads: f64,
}

impl Process {
    pub(super) fn new(watched: &Watched) -> Self {
        Self::read_from(Path::new("/proc/self"), watched)
    }

    fn read_from(directory: &'static Path, watched: &Watched) -> Self {
        let gauge = |name| watched.gauge(name, None);
        Self {
            directory,
            used: Used::now(),
            user: gauge("cpu.time.user"),
            system: gauge("cpu.time.sys"),
            percent: gauge("cpu.percent"),
            voluntary: gauge("cpu.ctx_switch.voluntary"),
            involuntary: gauge("cpu.ctx_switch.involuntary"),
            minor_faults: gauge("mem.page_faults.minor"),
            major_faults: gauge("mem.page_faults.major"),
            resident: gauge("mem.rss"),
            mapped: gauge("mem.vms"),
            threads: gauge("thread_count"),
            files: gauge("fd.open"),
            complained: false,
        }
    }

    fn tell_used(&mut self) {
        let now = Used::now();
        if let (Some(now), Some(last)) = (&now, &self.used) {
            let since = |figure: fn(&Usage) -> f64| figure(&now.usage) - figure(&last.usage);
            let user = since(|usage| seconds(usage.user_time()));
            let system = since(|usage| seconds(usage.system_time()));
            self.user.set(user);
            self.system.set(system);
            let passed = now.at.duration_since(last.at).as_secs_f64();
            self.percent.set((user + system) / passed * 100.0);
            self.voluntary
                .set(since(|usage| usage.voluntary_context_switches() as f64));
            self.involuntary
                .set(since(|usage| usage.involuntary_context_switches() as f64));
            self.minor_faults
                .set(since(|usage| usage.minor_page_faults() as f64));
            self.major_faults
                .set(since(|usage| usage.major_page_faults() as f64));
        }
        self.used = now;
    }

    fn tell_held(&self) -> io::Result<()> {
        let status = fs::read_to_string(self.directory.join("status"))?;
        let held = Held::read(&status).ok_or(io::ErrorKind::InvalidData)?;
        self.resident.set(held.resident_bytes);
        self.mapped.set(held.mapped_bytes);
        self.threads.set(held.threads);
        self.files.set(open_files(&self.directory.join("fd"))?);
        Ok(())
    }
}

impl Source for Process {
    fn tell(&mut self) {
        self.tell_used();
        if let Err(error) = self.tell_held()
            && !std::mem::replace(&mut self.complained, true)
        {
            log::warn!(
                target: "datadog",
                "runtime metrics of memory, threads and open files are left out, because {} can't be read: {error}",
                self.directory.display(),
            );
        }
    }
}

impl Used {
    fn now() -> Option<Self> {
        Some(Self {
            at: Instant::now(),
            usage: getrusage(UsageWho::RUSAGE_SELF).ok()?,
        })
    }
}

impl Held {
    /// Reads the text of `/proc/self/status` (man page proc_pid_status(5)).
    fn read(status: &str) -> Option<Self> {
        let number = |name| -> Option<f64> {
            let mut lines = status.lines().map(str::split_whitespace);
            let mut line = lines.find(|line| line.clone().next() == Some(name))?;
            line.nth(1)?.parse().ok()
        };
        Some(Self {
            // The unit is always kB, which means 1,024 bytes.
            resident_bytes: number("VmRSS:")? * 1024.0,
            mapped_bytes: number("VmSize:")? * 1024.0,
            threads: number("Threads:")?,
        })
    }
}

fn seconds(time: TimeVal) -> f64 {
    time.num_microseconds() as f64 / 1e6
}

/// How many files are open, in the process whose directory `fd` this is.
fn open_files(directory: &Path) -> io::Result<f64> {
    // The size is the number since Linux 6.2, and needs no free descriptor to be read. 0 before.
    let number = match fs::metadata(directory)?.len() {
        // The one that reads the directory does not count.
        0 => (fs::read_dir(directory)?.count() as u64).saturating_sub(1),
        number => number,
    };
    Ok(number as f64)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use datadog_config::DDConfig;
    use datadog_local_agent::LocalAgent;
    use parking_lot::Mutex;

    use super::*;
    use crate::Metrics;

    const SOON: Duration = Duration::from_secs(20);

    #[test]
    fn status_is_read_by_name() {
        let status =
            "Name:\tweb\nVmSize:\t    2048 kB\nVmRSS:\t     512 kB\nThreads:\t7\nVmRSSx: 1\n";
        let expected = Held {
            resident_bytes: 524_288.0,
            mapped_bytes: 2_097_152.0,
            threads: 7.0,
        };
        assert_eq!(Held::read(status), Some(expected));
        assert_eq!(
            Held::read("VmSize:\t2 kB\nVmRSS:\t kB\nThreads:\t7\n"),
            None
        );
        assert_eq!(Held::read(""), None);
    }

    /// Keeps the lines of the log.
    struct Lines(Mutex<Vec<String>>);

    impl log::Log for Lines {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }

        fn log(&self, record: &log::Record<'_>) {
            self.0.lock().push(record.args().to_string());
        }

        fn flush(&self) {}
    }

    #[test]
    fn without_proc_the_rest_is_told_and_one_line_says_so() {
        static LINES: Lines = Lines(Mutex::new(Vec::new()));
        log::set_logger(&LINES).unwrap();
        log::set_max_level(log::LevelFilter::Warn);
        let agent = LocalAgent::start().unwrap();
        let config = DDConfig::builder()
            .environment([("", "")])
            .dogstatsd_url(agent.dogstatsd_url())
            .build()
            .unwrap();
        let metrics = Metrics::start(&config).unwrap();
        let watched = Watched::new(&metrics, &config);
        let mut process = Process::read_from(Path::new("/proc/none"), &watched);
        process.tell();
        process.tell();
        assert_eq!(metrics.flush(SOON).delivered, 2 * 7);
        agent
            .wait_for(SOON, |got| got.metrics().len() >= 7)
            .unwrap();
        assert_eq!(agent.metrics_named("runtime.rust.cpu.time.user").len(), 1);
        assert!(agent.metrics_named("runtime.rust.mem.rss").is_empty());
        let lines = LINES.0.lock();
        let about_it = lines.iter().filter(|line| line.contains("/proc/none"));
        assert_eq!(about_it.count(), 1, "{lines:?}");
    }

    #[test]
    fn files_are_counted_where_the_size_of_the_directory_does_not_tell() {
        let namespaces = Path::new("/proc/self/ns");
        assert_eq!(fs::metadata(namespaces).unwrap().len(), 0);
        let entries = fs::read_dir(namespaces).unwrap().count();
        assert!(entries > 1);
        assert_eq!(open_files(namespaces).unwrap(), entries as f64 - 1.0);
        assert!(open_files(Path::new("/proc/self/none")).is_err());
    }
}
