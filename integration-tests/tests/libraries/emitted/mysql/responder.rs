//! A server of the test's own, which knows no SQL: it takes any password, and answers statements as MySQL does
//! (<https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html>).

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

pub(super) const NO_TABLE: &str = "Unknown table 'shop.sellers'";

/// `CLIENT_LONG_PASSWORD`, `CLIENT_PROTOCOL_41`, `CLIENT_TRANSACTIONS`, `CLIENT_SECURE_CONNECTION`, `CLIENT_PLUGIN_AUTH`,
/// `CLIENT_DEPRECATE_EOF`.
const CAPABILITIES: u32 = 0x0000_0001 | 0x0200 | 0x2000 | 0x8000 | 0x0008_0000 | 0x0100_0000;

/// No rows changed, no number of a row, status `SERVER_STATUS_AUTOCOMMIT`, no warnings.
const OK: &[u8] = &[0x00, 0, 0, 2, 0, 0, 0];

/// The port of one that takes one connection.
pub(super) fn start() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || serve(&listener.accept()?.0));
    port
}

/// Until the other end hangs up.
fn serve(mut connection: &TcpStream) -> io::Result<()> {
    write(&mut connection, 0, &greeting())?;
    let (number, _login) = read(&mut connection)?;
    write(&mut connection, number + 1, OK)?;
    loop {
        let (_, command) = read(&mut connection)?;
        match command[0] {
            // COM_QUERY.
            0x03 if command.ends_with(b"sellers") => write(&mut connection, 1, &no_table())?,
            // COM_STMT_PREPARE: statement 1 without columns, and with one parameter, which is a text.
            0x16 => {
                write(&mut connection, 1, &[0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0])?;
                write(
                    &mut connection,
                    2,
                    b"\x03def\0\0\0\x01?\0\x0c\x21\0\0\0\0\0\xfd\0\0\0\0\0",
                )?;
            }
            // COM_STMT_CLOSE has no answer.
            0x19 => {}
            _ => write(&mut connection, 1, OK)?,
        }
    }
}

/// The protocol's version 10, with 20 bytes for the password to be mixed with.
fn greeting() -> Vec<u8> {
    let [low, high] = [CAPABILITIES as u16, (CAPABILITIES >> 16) as u16].map(u16::to_le_bytes);
    [
        b"\x0a8.0.36\0\x01\0\0\0mixedwit\0",
        &low[..],
        // UTF-8, SERVER_STATUS_AUTOCOMMIT.
        b"\x21\x02\0",
        &high,
        b"\x15\0\0\0\0\0\0\0\0\0\0hthepassword\0mysql_native_password\0",
    ]
    .concat()
}

fn no_table() -> Vec<u8> {
    [b"\xff\x1b\x04#42S02", NO_TABLE.as_bytes()].concat()
}

/// A packet with its number.
fn read(connection: &mut impl Read) -> io::Result<(u8, Vec<u8>)> {
    let mut header = [0; 4];
    connection.read_exact(&mut header)?;
    let [a, b, c, number] = header;
    let mut packet = vec![0; u32::from_le_bytes([a, b, c, 0]) as usize];
    connection.read_exact(&mut packet)?;
    Ok((number, packet))
}

fn write(connection: &mut impl Write, number: u8, packet: &[u8]) -> io::Result<()> {
    let [a, b, c, _] = (packet.len() as u32).to_le_bytes();
    connection.write_all(&[&[a, b, c, number], packet].concat())
}
