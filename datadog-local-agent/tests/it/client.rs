//! A bare HTTP client over std sockets, so that nothing between the test and the agent corrects what is wrong.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use datadog_local_agent::LocalAgent;
use rmpv::Value;

/// Long enough for a busy machine; only a failing test waits this long.
pub(crate) const SOON: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// One connection, kept alive.
pub(crate) struct Client<S>(BufReader<S>);

pub(crate) fn tcp(agent: &LocalAgent) -> Client<TcpStream> {
    let address = agent.url().strip_prefix("http://").unwrap().to_owned();
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    Client(BufReader::new(stream))
}

pub(crate) fn unix(agent: &LocalAgent) -> Client<UnixStream> {
    let stream = UnixStream::connect(agent.trace_socket()).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    Client(BufReader::new(stream))
}

/// Either kind of socket.
pub(crate) trait Socket: Read + Write {}

impl<S: Read + Write> Socket for S {}

impl<S: Socket> Client<S> {
    pub(crate) fn boxed(self) -> Client<Box<dyn Socket>>
    where
        S: 'static,
    {
        Client(BufReader::new(Box::new(self.0.into_inner())))
    }

    /// Reads all that comes until the other side closes.
    pub(crate) fn read_to_end(&mut self, bytes: &mut Vec<u8>) -> io::Result<usize> {
        self.0.read_to_end(bytes)
    }

    /// Sends a request with a right `Content-Length` and reads the answer.
    pub(crate) fn send(&mut self, line: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.try_send(line, headers, body).unwrap()
    }

    pub(crate) fn try_send(
        &mut self,
        line: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Answer> {
        let length = body.len().to_string();
        let headers = [headers, &[("Content-Length", &length)]].concat();
        self.write(line, &headers, body)?;
        self.read_answer()
    }

    /// Writes exactly these headers and this body.
    pub(crate) fn write(
        &mut self,
        line: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<()> {
        let mut head = format!("{line} HTTP/1.1\r\nHost: test\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        self.0
            .get_mut()
            .write_all(&[head.as_bytes(), body].concat())
    }

    pub(crate) fn read_answer(&mut self) -> io::Result<Answer> {
        let status = self.read_line()?;
        let status = status.split(' ').nth(1).unwrap().parse().unwrap();
        let mut headers = Vec::new();
        loop {
            let line = self.read_line()?;
            let Some((name, value)) = line.split_once(": ") else {
                break;
            };
            headers.push((name.to_owned(), value.to_owned()));
        }
        let mut answer = Answer {
            status,
            headers,
            body: Vec::new(),
        };
        let length = answer.header("content-length").unwrap().parse().unwrap();
        answer.body.resize(length, 0);
        self.0.read_exact(&mut answer.body)?;
        Ok(answer)
    }

    fn read_line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }
}

/// A msgpack map with text keys.
pub(crate) fn map(fields: &[(&str, Value)]) -> Value {
    let pairs = fields
        .iter()
        .map(|(name, value)| (Value::from(*name), value.clone()));
    Value::Map(pairs.collect())
}

pub(crate) fn packed(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    rmpv::encode::write_value(&mut bytes, value).unwrap();
    bytes
}

/// A proper span of trace 7, with some of its fields replaced, added or (by nil) taken away.
pub(crate) fn span(span_id: u64, parent_id: u64, changes: &[(&str, Value)]) -> Value {
    let mut fields = vec![
        ("service", Value::from("web")),
        ("name", Value::from("work")),
        ("resource", Value::from("GET /")),
        ("trace_id", Value::from(7)),
        ("span_id", Value::from(span_id)),
        ("parent_id", Value::from(parent_id)),
        ("start", Value::from(1_700_000_000_000_000_000_u64)),
        ("duration", Value::from(1_500_000)),
        ("meta", map(&[("env", Value::from("test"))])),
    ];
    for (name, value) in changes {
        fields.retain(|(own, _)| own != name);
        if !value.is_nil() {
            fields.push((name, value.clone()));
        }
    }
    map(&fields)
}

/// The headers of a proper traces request.
pub(crate) const TRACE_HEADERS: [(&str, &str); 3] = [
    ("Content-Type", "application/msgpack"),
    ("Datadog-Meta-Tracer-Version", "1.0.0"),
    ("X-Datadog-Trace-Count", "1"),
];

/// The body for one chunk of these spans.
pub(crate) fn one_chunk(spans: &[Value]) -> Vec<u8> {
    packed(&Value::Array(vec![Value::Array(spans.to_vec())]))
}
