//! How many spans a payload has, in MessagePack (<https://github.com/msgpack/msgpack/blob/master/spec.md>), of the format that
//! its path says: v0.4, v0.5 or v1.0.

/// `None` for what is no such payload.
pub(crate) fn spans(path: &str, body: &[u8]) -> Option<u64> {
    if path.contains("/v0.4/traces") {
        v04(body)
    } else if path.contains("/v0.5/traces") {
        v05(body)
    } else if path.contains("/v1.0/traces") {
        v1(body)
    } else {
        None
    }
}

/// How many spans a list of lists of spans has.
fn v04(mut body: &[u8]) -> Option<u64> {
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
fn v05(mut body: &[u8]) -> Option<u64> {
    list(&mut body)?;
    skip(&mut body, 1)?;
    v04(body)
}

/// The chunks of a payload, and the spans of a chunk, are fields of maps
/// (datadog-agent: `pkg/proto/pbgo/trace/idx`).
fn v1(mut body: &[u8]) -> Option<u64> {
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

/// Skips so many values, with all that is within them.
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
