use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use datadog_logs::Logs;
use datadog_transport::context::{self, ActiveSpan};
use log::{Level, Log, Record};

use crate::support::hermetic;

/// What a logger wrote.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_logger_of_plain_text_writes_lines_that_tell_their_trace() {
    let logs = Logs::start(&hermetic().build().unwrap()).unwrap();
    let written = Written::default();
    let formatting = logs.clone();
    let logger = env_logger::Builder::new()
        .filter_level(log::LevelFilter::Info)
        .format(move |out, record| writeln!(out, "{}", formatting.log_format(record)))
        .target(env_logger::Target::Pipe(Box::new(written.clone())))
        .build();
    let say = |message: &str| {
        logger.log(
            &Record::builder()
                .target("shop::orders")
                .level(Level::Warn)
                .file(Some("src/shop/orders.rs"))
                .line(Some(12))
                .args(format_args!("{message}"))
                .build(),
        );
    };
    let span = ActiveSpan {
        trace_id: 0xab,
        span_id: 7,
        local_root_id: 7,
    };
    let outer = context::replace(Some(span));
    say("stock is low");
    context::replace(outer);
    say("outside");

    let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<_> = text.lines().map(|line| line.split_at(23)).collect();
    let common = " WARN [shop::orders] [orders.rs:12] [dd.service=shop dd.env=test dd.version=1.2 ";
    assert_eq!(
        lines[0].1,
        format!("{common}dd.trace_id=171 dd.span_id=7] - stock is low")
    );
    assert_eq!(
        lines[1].1,
        format!("{common}dd.trace_id=0 dd.span_id=0] - outside")
    );
    for (time, _) in lines {
        let form: String = time
            .chars()
            .map(|char| if char.is_ascii_digit() { '0' } else { char })
            .collect();
        assert_eq!(form, "0000-00-00 00:00:00,000");
    }
}

#[test]
fn a_line_has_only_what_there_is() {
    let config = hermetic().logs_injection(false).build().unwrap();
    let logs = Logs::start(&config).unwrap();
    let record = Record::builder()
        .target("shop")
        .level(Level::Info)
        .args(format_args!("plain"))
        .build();
    let line = logs.log_format(&record).to_string();
    assert_eq!(&line[23..], " INFO [shop] - plain");
}
