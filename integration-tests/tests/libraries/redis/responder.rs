//! A server that knows the commands of the test (<https://redis.io/docs/latest/develop/reference/protocol-spec/>).

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

type Store = Arc<Mutex<HashMap<String, String>>>;

pub(super) struct Responder {
    port: u16,
}

impl Responder {
    /// It stops with the process.
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let store = Store::default();
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let store = Arc::clone(&store);
                thread::spawn(move || serve(&connection, &store));
            }
        });
        Self { port }
    }

    pub(super) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

/// Until the other end hangs up.
fn serve(connection: &TcpStream, store: &Store) -> io::Result<()> {
    let mut reader = BufReader::new(connection);
    let mut writer = connection;
    loop {
        let words = number(&mut reader)?;
        let mut command = Vec::new();
        for _ in 0..words {
            let length = number(&mut reader)?;
            let mut word = vec![0; length + 2];
            reader.read_exact(&mut word)?;
            word.truncate(length);
            command.push(String::from_utf8_lossy(&word).into_owned());
        }
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        writer.write_all(answer(&words, &mut store.lock().unwrap()).as_bytes())?;
    }
}

/// The number in a line such as `*2` or `$5`.
fn number(reader: &mut impl BufRead) -> io::Result<usize> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let digits = line.trim_end().get(1..).unwrap_or_default();
    digits
        .parse()
        .map_err(|_| io::ErrorKind::InvalidData.into())
}

fn answer(command: &[&str], store: &mut HashMap<String, String>) -> String {
    match command {
        ["CLIENT", ..] => "+OK\r\n".to_owned(),
        ["SET", key, value] => {
            store.insert((*key).to_owned(), (*value).to_owned());
            "+OK\r\n".to_owned()
        }
        ["GET", key] => match store.get(*key) {
            Some(value) => format!("${}\r\n{value}\r\n", value.len()),
            None => "$-1\r\n".to_owned(),
        },
        ["DEL", key] => format!(":{}\r\n", i32::from(store.remove(*key).is_some())),
        ["INCRBY", ..] => "-ERR value is not an integer or out of range\r\n".to_owned(),
        _ => "-ERR unknown command\r\n".to_owned(),
    }
}
