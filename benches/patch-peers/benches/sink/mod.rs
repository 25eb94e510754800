//! An agent that takes everything, looks at nothing and keeps nothing.

use std::io::{BufRead, BufReader, Read, Write, copy, sink};
use std::net::{TcpListener, TcpStream};
use std::thread;

/// Starts one, which runs until the program ends. Its URL.
pub(crate) fn start() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            thread::spawn(move || serve(connection));
        }
    });
    url
}

/// Answers until the client is gone.
fn serve(connection: TcpStream) -> Option<()> {
    let mut reader = BufReader::new(connection.try_clone().ok()?);
    let mut writer = connection;
    loop {
        let mut length = 0;
        let mut chunked = false;
        loop {
            let line = line(&mut reader)?;
            if line.is_empty() {
                break;
            }
            let header = line.to_ascii_lowercase();
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
            chunked |= header.starts_with("transfer-encoding:") && header.contains("chunked");
        }
        if chunked {
            while let Some(size) = chunk(&mut reader).filter(|size| *size > 0) {
                skip(&mut reader, size + 2)?;
            }
            line(&mut reader)?;
        } else {
            skip(&mut reader, length)?;
        }
        let body = r#"{"rate_by_service":{}}"#;
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        writer.write_all(answer.as_bytes()).ok()?;
    }
}

fn line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    let read = reader.read_line(&mut line).ok()?;
    (read > 0).then(|| line.trim_end().to_owned())
}

fn chunk(reader: &mut impl BufRead) -> Option<u64> {
    u64::from_str_radix(line(reader)?.split(';').next()?.trim(), 16).ok()
}

fn skip(reader: &mut impl BufRead, bytes: u64) -> Option<()> {
    let skipped = copy(&mut reader.by_ref().take(bytes), &mut sink()).ok()?;
    (skipped == bytes).then_some(())
}
