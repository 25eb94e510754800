//! Writes the report of a crash, on a thread of its own that waits for one. From then on it allocates nothing.

use std::fmt::{self, Write};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::crash::handler::{self, Crash};
use crate::timer::ring::MOST_CALLS;
use crate::timer::signal;
use crate::timer::unwind::Unwinders;

/// The line before the memory map, which is the last part of a report.
pub(super) const MAPS: &str = "maps";

/// How often it is tried to get the unwinder, which the worker has for some milliseconds now and then.
const TRIES: usize = 200;

/// Crashes are written while this exists.
pub(super) struct Writing {
    thread: Option<JoinHandle<()>>,
}

impl Writing {
    /// Starts the thread. Reports go to the end of the file.
    pub(super) fn start(file: File, unwinders: Arc<Unwinders>) -> io::Result<Self> {
        let start = file.metadata()?.len();
        let (ready, is_ready) = std::sync::mpsc::sync_channel(0);
        let thread = thread::Builder::new().name("datadog-crash".to_owned());
        let thread = thread.spawn(move || {
            signal::block_other_signals();
            handler::become_writer();
            let _ = ready.send(());
            while let Some(crash) = handler::next_crash() {
                // A crash that was mended may have left a report.
                let _ = file.set_len(start);
                write(&crash, &unwinders, &mut Output::new(&file, start));
                handler::crash_is_written();
            }
        })?;
        let _ = is_ready.recv();
        Ok(Self {
            thread: Some(thread),
        })
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        handler::end_writer();
        if let Some(thread) = self.thread.take() {
            // It only panics with the process.
            let _ = thread.join();
        }
    }
}

/// One fact a line. What comes first is most important: the rest may be missing if the disk is full.
fn write(crash: &Crash, unwinders: &Unwinders, output: &mut Output<'_>) {
    let time = SystemTime::now().duration_since(UNIX_EPOCH);
    let millis = time.unwrap_or_default().as_millis();
    let _ = writeln!(output, "signal {}\ncode {}", crash.signal, crash.code);
    let _ = writeln!(output, "address {:#018x}\nmillis {millis}", crash.address);
    let _ = write!(output, "thread {}\nthread_name ", crash.thread);
    let name = crash.thread_name.iter().take_while(|byte| **byte != 0);
    // A line of its own would be another fact.
    name.map(|byte| if byte.is_ascii_control() { b'?' } else { *byte })
        .for_each(|byte| output.byte(byte));
    if let Some(span) = crash.span {
        let _ = write!(output, "\ntrace_id {:032x}", span.trace_id);
        let _ = write!(output, "\nspan_id {}", span.span_id);
        let _ = write!(output, "\nlocal_root_span_id {}", span.local_root_id);
    }
    for (name, value) in crash.all_registers() {
        let _ = write!(output, "\nregister {name} {value:#018x}");
    }
    output.byte(b'\n');
    output.flush();
    let unwound = (0..TRIES).any(|_| {
        let mut calls = 0;
        let unwound = unwinders.unwind_another(crash.thread, &crash.registers, |address| {
            let _ = writeln!(output, "call {address:#018x}");
            calls += 1;
            // A wrong unwind table could go round in circles.
            calls < MOST_CALLS
        });
        if !unwound {
            thread::sleep(Duration::from_millis(5));
        }
        unwound
    });
    if !unwound {
        let _ = writeln!(output, "call {:#018x}", crash.registers.instruction + 1);
    }
    let _ = writeln!(output, "{MAPS}");
    if let Ok(mut maps) = File::open("/proc/self/maps") {
        let mut bytes = [0; 1024];
        while let Ok(count @ 1..) = maps.read(&mut bytes) {
            bytes[..count].iter().for_each(|byte| output.byte(*byte));
        }
    }
    output.flush();
}

/// Collects what is written, up to its small size, and then appends it to the file.
struct Output<'a> {
    file: &'a File,
    offset: u64,
    bytes: [u8; 1024],
    length: usize,
}

impl<'a> Output<'a> {
    fn new(file: &'a File, offset: u64) -> Self {
        Self {
            file,
            offset,
            bytes: [0; 1024],
            length: 0,
        }
    }

    fn byte(&mut self, byte: u8) {
        if self.length == self.bytes.len() {
            self.flush();
        }
        self.bytes[self.length] = byte;
        self.length += 1;
    }

    fn flush(&mut self) {
        let bytes = &self.bytes[..self.length];
        // Nobody could be told.
        let _ = self.file.write_all_at(bytes, self.offset);
        self.offset += bytes.len() as u64;
        self.length = 0;
    }
}

impl Write for Output<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().for_each(|byte| self.byte(byte));
        Ok(())
    }
}
