//! A receiver that answers everything at once, and counts the spans that come.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::count;

/// What an agent of today says of itself, as far as clients go by it: it takes traces in all three formats, and statistics in
/// place of the traces that are not kept.
const INFO: &str = r#"{"version":"7.80.0","endpoints":["/v0.4/traces","/v0.5/traces","/v0.6/stats","/v1.0/traces"],"client_drop_p0s":true}"#;

/// Serves until the process ends.
#[derive(Debug)]
pub struct Sink {
    /// Where it listens.
    pub address: SocketAddr,
    spans: Arc<AtomicU64>,
}

impl Sink {
    /// Starts to listen on a port of its own.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let spans = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&spans);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counted = Arc::clone(&counted);
                thread::spawn(move || serve(stream, &counted));
            }
        });
        Self { address, spans }
    }

    /// How many spans came since the last call.
    pub fn take(&self) -> u64 {
        self.spans.swap(0, Ordering::SeqCst)
    }
}

/// `None` where the connection ends.
fn serve(stream: TcpStream, spans: &AtomicU64) -> Option<()> {
    let mut reader = BufReader::with_capacity(1 << 16, stream.try_clone().ok()?);
    let mut writer = stream;
    // Used again: new memory for every request would cost more than to read it.
    let mut body = Vec::new();
    loop {
        let (path, length) = head(&mut reader)?;
        match length {
            Some(length) => {
                body.resize(length, 0);
                reader.read_exact(&mut body).ok()?;
            }
            None => chunked(&mut reader, &mut body)?,
        }
        spans.fetch_add(count::spans(&path, &body).unwrap_or(0), Ordering::SeqCst);
        let answer = if path.contains("/info") {
            INFO
        } else {
            r#"{"rate_by_service":{}}"#
        };
        let length = answer.len();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        );
        writer.write_all((head + answer).as_bytes()).ok()?;
    }
}

/// The path, and the length of the body; `None` for one in chunks.
fn head(reader: &mut impl BufRead) -> Option<(String, Option<usize>)> {
    let first = line(reader)?;
    let path = first.split(' ').nth(1)?.to_owned();
    let mut length = Some(0);
    loop {
        let line = line(reader)?.to_ascii_lowercase();
        if line.is_empty() {
            return Some((path, length));
        }
        match line.split_once(':') {
            Some(("content-length", value)) => length = value.trim().parse().ok(),
            Some(("transfer-encoding", _)) => length = None,
            _ => {}
        }
    }
}

fn line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    (reader.read_line(&mut line).ok()? > 0).then(|| line.trim_end().to_owned())
}

fn chunked(reader: &mut impl BufRead, body: &mut Vec<u8>) -> Option<()> {
    body.clear();
    loop {
        let length = usize::from_str_radix(&line(reader)?, 16).ok()?;
        let start = body.len();
        body.resize(start + length, 0);
        reader.read_exact(&mut body[start..]).ok()?;
        line(reader)?;
        if length == 0 {
            return Some(());
        }
    }
}
