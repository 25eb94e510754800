//! Reads the report of a crash, names its functions, and puts it into the form of error tracking (libdatadog:
//! `libdd-crashtracker/src/crash_info`).

use std::ffi::c_int;

use serde_json::{Map, Value, json};

use crate::crash::handler;
use crate::crash::writer::MAPS;
use crate::modules::{self, Module};
use crate::symbol::Symbols;

/// How the form of the stack is called (libdatadog: `libdd-crashtracker/src/crash_info/stacktrace.rs`).
const STACK_FORMAT: &str = "Datadog Crashtracker 1.0";

/// What a report says.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// The line that was written at the start.
    header: Value,
    signal: c_int,
    code: c_int,
    address: String,
    millis: u64,
    thread_name: String,
    trace_id: Option<String>,
    /// Tags of this crash, beside those of the header.
    tags: Vec<String>,
    registers: Map<String, Value>,
    calls: Vec<u64>,
    maps: Vec<String>,
    /// Whether it goes as far as the memory map, so that no call is missing.
    has_all_calls: bool,
}

impl Report {
    /// `None` where there was no crash, or only the beginning of a report.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let mut report = Self {
            header: serde_json::from_str(lines.next()?).ok()?,
            ..Self::default()
        };
        for line in lines.by_ref().take_while(|line| *line != MAPS) {
            report.take(line);
        }
        report.maps = lines.map(str::to_owned).collect();
        report.has_all_calls = text.contains(&format!("\n{MAPS}\n"));
        handler::name_of(report.signal).is_some().then_some(report)
    }

    fn take(&mut self, line: &str) {
        let (key, value) = line.split_once(' ').unwrap_or((line, ""));
        match key {
            "signal" => self.signal = value.parse().unwrap_or(0),
            "code" => self.code = value.parse().unwrap_or(0),
            "address" => value.clone_into(&mut self.address),
            "millis" => self.millis = value.parse().unwrap_or(0),
            "thread_name" => value.clone_into(&mut self.thread_name),
            "trace_id" => self.trace_id = Some(value.to_owned()),
            "thread" | "span_id" | "local_root_span_id" => self.tags.push(format!("{key}:{value}")),
            "register" => {
                let (name, value) = value.split_once(' ').unwrap_or((value, ""));
                self.registers.insert(name.to_owned(), value.into());
            }
            "call" => self.calls.extend(number(value)),
            _ => {}
        }
    }

    /// The form that is sent. Functions are named where the code is loaded in this process, too: `loaded`.
    pub(super) fn json(&self, symbols: &mut Symbols, loaded: &[Module]) -> Value {
        let name = handler::name_of(self.signal).unwrap_or_default();
        let code = code_name(self.signal, self.code);
        let mut tags = vec![self.header["tags"].as_str().unwrap_or_default().to_owned()];
        tags.extend(self.tags.iter().cloned());
        tags.push(format!("si_signo:{}", self.signal));
        tags.push(format!("si_signo_human_readable:{name}"));
        tags.push(format!("si_code:{}", self.code));
        tags.push(format!("si_code_human_readable:{code}"));
        let calls = self.calls.iter();
        let frames: Vec<_> = calls
            .flat_map(|call| self.frames(*call, symbols, loaded))
            .collect();
        json!({
            "timestamp": self.millis,
            "ddsource": "crashtracker",
            "ddtags": tags.join(","),
            "trace_id": self.trace_id,
            "error": {
                "type": name,
                "message": format!("Process terminated with {code} ({name})"),
                "is_crash": true,
                "source_type": "Crashtracking",
                "thread_name": self.thread_name,
                "stack": {
                    "format": STACK_FORMAT,
                    "frames": frames,
                    "incomplete": !self.has_all_calls,
                },
            },
            "os_info": {
                "architecture": std::env::consts::ARCH,
                "bitness": "64-bit",
                "os_type": "Linux",
                "version": "unknown",
            },
            "proc_info": {"pid": self.header["process"]},
            "sig_info": {
                "si_addr": self.address,
                "si_code": self.code,
                "si_code_human_readable": code,
                "si_signo": self.signal,
                "si_signo_human_readable": name,
            },
            "ucontext": {"arch": std::env::consts::ARCH, "registers": self.registers},
            "files": {"/proc/self/maps": self.maps},
        })
    }

    /// The functions at a return address, the innermost inlined one first; one frame without a name where it is not
    /// known.
    fn frames(&self, call: u64, symbols: &mut Symbols, loaded: &[Module]) -> Vec<Value> {
        // Within the call instruction, not behind it.
        let within = call.saturating_sub(1);
        let mut frame = Map::new();
        let mut add = |key: &str, value: String| frame.insert(key.to_owned(), value.into());
        add("ip", format!("{within:#x}"));
        let maps = self.maps.iter();
        let module = maps
            .filter_map(|line| modules::parse(line))
            .find(|module| (module.start..module.end).contains(&within));
        let mut here = None;
        if let Some(mut module) = module {
            let id = &self.header["build_ids"][&module.file];
            id.as_str()
                .unwrap_or_default()
                .clone_into(&mut module.build_id);
            let base = self.base_of(&module);
            add("module_base_address", format!("{base:#x}"));
            add("relative_address", format!("{:#x}", within - base));
            add("path", module.file.clone());
            here = address_here(within, &module, loaded);
            if !module.build_id.is_empty() {
                add("build_id", module.build_id);
                add("build_id_type", "GNU".to_owned());
                add("file_type", "ELF".to_owned());
            }
        }
        let named = here.map_or(&[][..], |address| symbols.at(address as usize + 1));
        if named.is_empty() {
            return vec![Value::Object(frame)];
        }
        let with_name = |symbol: &crate::symbol::Symbol| {
            let mut frame = frame.clone();
            frame.insert("function".to_owned(), symbol.name.clone().into());
            if symbol.line > 0 {
                frame.insert("file".to_owned(), symbol.file.clone().into());
                frame.insert("line".to_owned(), symbol.line.into());
            }
            Value::Object(frame)
        };
        named.iter().map(with_name).collect()
    }

    /// Where the beginning of a file was loaded.
    fn base_of(&self, module: &Module) -> u64 {
        let own = |line: &&String| line.ends_with(&module.file);
        let starts = self.maps.iter().filter(own).filter_map(|line| {
            let (start, _) = line.split_once('-')?;
            u64::from_str_radix(start, 16).ok()
        });
        // Two copies of a file can be loaded: the last one that begins before.
        let starts = starts.filter(|start| *start <= module.start);
        let lowest = starts.min().unwrap_or(module.start);
        lowest.max(module.start.saturating_sub(module.offset))
    }
}

/// Where the code at an address of a module of the crashed process is in this one, if this is the same code.
fn address_here(address: u64, module: &Module, loaded: &[Module]) -> Option<u64> {
    let in_file = address - module.start + module.offset;
    loaded.iter().find_map(|here| {
        let is_same = here.file == module.file
            && here.build_id == module.build_id
            && !here.build_id.is_empty();
        let offset = in_file.checked_sub(here.offset)?;
        let address = here.start + offset;
        (is_same && address < here.end).then_some(address)
    })
}

fn number(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

/// Why there was a signal (torvalds/linux: `include/uapi/asm-generic/siginfo.h`), by the names that libdatadog knows.
fn code_name(signal: c_int, code: c_int) -> &'static str {
    match (signal, code) {
        (_, libc::SI_USER) => "SI_USER",
        (_, libc::SI_TKILL) => "SI_TKILL",
        (_, libc::SI_QUEUE) => "SI_QUEUE",
        (_, 0x80) => "SI_KERNEL",
        (libc::SIGSEGV, 1) => "SEGV_MAPERR",
        (libc::SIGSEGV, 2) => "SEGV_ACCERR",
        (libc::SIGSEGV, 3) => "SEGV_BNDERR",
        (libc::SIGSEGV, 4) => "SEGV_PKUERR",
        (libc::SIGBUS, 1) => "BUS_ADRALN",
        (libc::SIGBUS, 2) => "BUS_ADRERR",
        (libc::SIGBUS, 3) => "BUS_OBJERR",
        (libc::SIGILL, 1) => "ILL_ILLOPC",
        (libc::SIGILL, 2) => "ILL_ILLOPN",
        (libc::SIGILL, 4) => "ILL_ILLTRP",
        _ => "UNKNOWN",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = r#"{"tags":"service:shop","process":7,"build_ids":{"/opt/shop":"ab12"}}"#;

    fn text(calls: &str) -> String {
        format!(
            "{HEADER}\nsignal 11\ncode 1\naddress 0x0\nmillis 12\nthread 8\nthread_name till 3\n\
             trace_id 0a\nspan_id 5\nregister rip 0x1\n{calls}"
        )
    }

    #[test]
    fn an_unnamed_frame_has_what_others_need_to_name_it() {
        let maps = "maps\n1000-2000 r--p 0 08:01 1    /opt/shop\n2000-3000 r-xp 1000 08:01 1    /opt/shop\n";
        let report = Report::parse(&text(&format!("call 0x2345\ncall 0x9\n{maps}"))).unwrap();
        let json = report.json(&mut Symbols::default(), &[]);
        let frames = &json["error"]["stack"]["frames"];
        assert_eq!(frames[0]["ip"], "0x2344");
        assert_eq!(frames[0]["module_base_address"], "0x1000");
        assert_eq!(frames[0]["relative_address"], "0x1344");
        assert_eq!(frames[0]["build_id"], "ab12");
        assert_eq!(frames[1], json!({"ip": "0x8"}));
        assert_eq!(json["error"]["stack"]["incomplete"], false);
        assert_eq!(json["error"]["type"], "SIGSEGV");
        assert_eq!(json["error"]["thread_name"], "till 3");
        assert_eq!(json["trace_id"], "0a");
        assert_eq!(json["proc_info"]["pid"], 7);
        let tags = json["ddtags"].as_str().unwrap();
        let wanted = "service:shop,thread:8,span_id:5,si_signo:11,si_signo_human_readable:SIGSEGV";
        assert!(tags.starts_with(wanted), "{tags}");
        assert!(tags.ends_with("si_code_human_readable:SEGV_MAPERR"));
    }

    #[test]
    fn code_is_found_again_where_the_same_file_is_loaded() {
        let module = |start, file: &str, build_id: &str| Module {
            start,
            end: start + 0x1000,
            offset: 0x1000,
            file: file.to_owned(),
            build_id: build_id.to_owned(),
        };
        let crashed = module(0x2000, "/opt/shop", "ab12");
        let find = |loaded: Module| address_here(0x2344, &crashed, &[loaded]);
        assert_eq!(find(module(0x7000, "/opt/shop", "ab12")), Some(0x7344));
        assert_eq!(find(module(0x7000, "/opt/shop", "ff")), None);
        assert_eq!(find(module(0x7000, "/opt/other", "ab12")), None);
        let unknown = module(0x2000, "/opt/shop", "");
        assert_eq!(
            address_here(0x2344, &unknown, std::slice::from_ref(&unknown)),
            None
        );
    }

    #[test]
    fn what_is_cut_off_is_missing_and_no_crash_is_none() {
        assert!(Report::parse(HEADER).is_none());
        assert!(Report::parse("").is_none());
        let whole = text("call 0x2345\nmaps\n1-2 r-xp 0 0:0 1 /a\n");
        for length in 0..whole.len() {
            let Some(report) = Report::parse(&whole[..length]) else {
                continue;
            };
            assert_eq!(report.signal, 11);
            let json = report.json(&mut Symbols::default(), &[]);
            let incomplete = &json["error"]["stack"]["incomplete"];
            assert_eq!(*incomplete, !whole[..length].contains("maps\n"));
        }
    }
}
