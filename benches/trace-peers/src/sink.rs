//! A receiver that answers everything at once, and counts the spans of v0.4, v0.5 and v1.0 payloads.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

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
        let counted = if path.contains("/v0.4/traces") {
            count(&body)
        } else if path.contains("/v0.5/traces") {
            count_v05(&body)
        } else if path.contains("/v1.0/traces") {
            count_v1(&body)
        } else {
            None
        };
        spans.fetch_add(counted.unwrap_or(0), Ordering::SeqCst);
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

/// How many spans a list of lists of spans has.
fn count(mut body: &[u8]) -> Option<u64> {
    let chunks = list(&mut body)?;
    let mut spans = 0;
    for _ in 0..chunks {
        let in_chunk = list(&mut body)?;
        spans += in_chunk;
        skip(&mut body, in_chunk)?;
    }
    Some(spans)
}

/// The same with the texts of all spans before it.
fn count_v05(mut body: &[u8]) -> Option<u64> {
    list(&mut body)?;
    skip(&mut body, 1)?;
    count(body)
}

/// The chunks of a payload, and the spans of a chunk, are fields of maps
/// (datadog-agent: `pkg/proto/pbgo/trace/idx`).
fn count_v1(mut body: &[u8]) -> Option<u64> {
    const CHUNKS: u8 = 11;
    const SPANS: u8 = 4;
    let mut spans = 0;
    fields(&mut body, |field, body| {
        if field != CHUNKS {
            return skip(body, 1);
        }
        (0..list(body)?).try_for_each(|_| {
            fields(body, |field, body| {
                if field != SPANS {
                    return skip(body, 1);
                }
                let in_chunk = list(body)?;
                spans += in_chunk;
                skip(body, in_chunk)
            })
        })
    })?;
    Some(spans)
}

/// Shows each field of a map whose keys are small numbers.
fn fields(body: &mut &[u8], mut show: impl FnMut(u8, &mut &[u8]) -> Option<()>) -> Option<()> {
    let count = match take(body, 1)?[0] {
        short @ 0x80..=0x8f => u64::from(short & 15),
        0xde => number(body, 2)?,
        0xdf => number(body, 4)?,
        _ => return None,
    };
    (0..count).try_for_each(|_| {
        let field = take(body, 1)?[0];
        show(field, body)
    })
}

fn list(body: &mut &[u8]) -> Option<u64> {
    match take(body, 1)?[0] {
        short @ 0x90..=0x9f => Some(u64::from(short & 15)),
        0xdc => number(body, 2),
        0xdd => number(body, 4),
        _ => None,
    }
}

/// Skips values (<https://github.com/msgpack/msgpack/blob/master/spec.md>).
fn skip(body: &mut &[u8], mut values: u64) -> Option<()> {
    while values > 0 {
        values -= 1;
        let bytes = match take(body, 1)?[0] {
            0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => 0,
            text @ 0xa0..=0xbf => u64::from(text & 31),
            0xcc | 0xd0 => 1,
            0xcd | 0xd1 => 2,
            0xca | 0xce | 0xd2 => 4,
            0xcb | 0xcf | 0xd3 => 8,
            0xc4 | 0xd9 => number(body, 1)?,
            0xc5 | 0xda => number(body, 2)?,
            0xc6 | 0xdb => number(body, 4)?,
            inner => {
                values += match inner {
                    0x80..=0x8f => 2 * u64::from(inner & 15),
                    0x90..=0x9f => u64::from(inner & 15),
                    0xdc => number(body, 2)?,
                    0xdd => number(body, 4)?,
                    0xde => 2 * number(body, 2)?,
                    0xdf => 2 * number(body, 4)?,
                    _ => return None,
                };
                0
            }
        };
        take(body, bytes as usize)?;
    }
    Some(())
}

fn number(body: &mut &[u8], bytes: usize) -> Option<u64> {
    let digits = take(body, bytes)?.iter();
    Some(digits.fold(0, |number, digit| number << 8 | u64::from(*digit)))
}

fn take<'a>(body: &mut &'a [u8], bytes: usize) -> Option<&'a [u8]> {
    let (taken, rest) = body.split_at_checked(bytes)?;
    *body = rest;
    Some(taken)
}
