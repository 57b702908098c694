//! Takes out of a broker's bytes what would stop the one who parses them.
//!
//! RabbitMQ does not look into short strings and headers, so whoever may
//! publish decides what stands there. lapin ends the connection at a text that
//! is not UTF-8, and its thread overflows its stack at headers that are nested
//! deeply enough, which ends the process. The message would be delivered again
//! to each instance, and nothing behind it would ever be read. Here such a
//! text gets a `?` for each wrong byte, and such headers are replaced by a
//! table that says so under [`MARK`]: the message becomes a dead letter and
//! the line moves on.
//!
//! Pure: bytes in, bytes out, in whatever pieces they come (AMQP 0-9-1,
//! section 4.2, with RabbitMQ's types of fields).

use std::str;

/// The header that stands for headers that were not passed on.
pub(super) const MARK: &str = "x-lariat-unreadable";

/// Tables and arrays inside each other.
const NESTING: usize = 32;

/// Frames that are larger are passed as they are: no broker that kept to the
/// negotiated size would send one.
const FRAME: usize = 1 << 20;

/// Type, channel and size.
const HEAD: usize = 7;

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const HEARTBEAT: u8 = 8;

#[derive(Debug, Default)]
pub(super) struct Sieve {
    /// The beginning of a frame that is not complete.
    held: Vec<u8>,
    /// Bytes of a frame that pass without a look.
    passing: usize,
    /// What comes is no AMQP frame.
    is_lost: bool,
}

impl Sieve {
    /// Passes on what can be passed on.
    pub(super) fn pass(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while !bytes.is_empty() {
            if self.is_lost {
                out.extend_from_slice(bytes);
                return;
            }
            if self.passing > 0 {
                let (passed, rest) = bytes.split_at(self.passing.min(bytes.len()));
                out.extend_from_slice(passed);
                self.passing -= passed.len();
                bytes = rest;
                continue;
            }
            bytes = self.hold(bytes, HEAD);
            let Some((kind, size)) = head(&self.held) else {
                continue;
            };
            match kind {
                METHOD | HEADER if size <= FRAME => {
                    let whole = HEAD + size + 1;
                    bytes = self.hold(bytes, whole);
                    if self.held.len() == whole {
                        write(kind, &self.held, out);
                        self.held.clear();
                    }
                }
                METHOD | HEADER | BODY | HEARTBEAT => {
                    out.append(&mut self.held);
                    self.passing = size + 1;
                }
                _ => {
                    out.append(&mut self.held);
                    self.is_lost = true;
                }
            }
        }
    }

    /// Holds bytes until there are `count`; what is left of them.
    fn hold<'a>(&mut self, bytes: &'a [u8], count: usize) -> &'a [u8] {
        let wanted = count.saturating_sub(self.held.len());
        let (taken, rest) = bytes.split_at(wanted.min(bytes.len()));
        self.held.extend_from_slice(taken);
        rest
    }
}

/// Type and size of a frame.
fn head(held: &[u8]) -> Option<(u8, usize)> {
    let [kind, _, _, a, b, c, d, ..] = *held else {
        return None;
    };
    let size = u32::from_be_bytes([a, b, c, d]);
    Some((kind, usize::try_from(size).unwrap_or(usize::MAX - HEAD - 1)))
}

/// Writes a complete frame, cleaned.
fn write(kind: u8, frame: &[u8], out: &mut Vec<u8>) {
    let end = frame.len() - 1;
    let payload = frame.get(HEAD..end).unwrap_or_default();
    let clean = if kind == METHOD {
        method(payload)
    } else {
        header(payload)
    };
    let Some(clean) = clean else {
        out.extend_from_slice(frame);
        return;
    };
    out.extend_from_slice(frame.get(..3).unwrap_or_default());
    out.extend(u32::try_from(clean.len()).unwrap_or(0).to_be_bytes());
    out.extend(clean);
    out.extend_from_slice(frame.get(end..).unwrap_or_default());
}

/// Reads a payload from its beginning and writes what is read.
struct Copy<'a> {
    from: &'a [u8],
    to: Vec<u8>,
    is_changed: bool,
}

impl<'a> Copy<'a> {
    fn new(from: &'a [u8]) -> Self {
        Self {
            from,
            to: Vec::with_capacity(from.len()),
            is_changed: false,
        }
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.from.split_at_checked(count)?;
        self.from = rest;
        Some(taken)
    }

    fn copy(&mut self, count: usize) -> Option<()> {
        let taken = self.take(count)?;
        self.to.extend_from_slice(taken);
        Some(())
    }

    fn short(&mut self) -> Option<()> {
        let len = *self.take(1)?.first()?;
        let text = self.take(usize::from(len))?;
        self.to.push(len);
        if str::from_utf8(text).is_ok() {
            self.to.extend_from_slice(text);
            return Some(());
        }
        self.is_changed = true;
        for chunk in text.utf8_chunks() {
            self.to.extend_from_slice(chunk.valid().as_bytes());
            self.to.extend(chunk.invalid().iter().map(|_| b'?'));
        }
        Some(())
    }

    fn headers(&mut self) -> Option<()> {
        let [a, b, c, d] = *self.take(4)? else {
            return None;
        };
        let size = u32::from_be_bytes([a, b, c, d]);
        let table = self.take(usize::try_from(size).ok()?)?;
        let readable = Walk { from: table }.table(NESTING);
        let written = match readable {
            Ok(()) => table.to_vec(),
            Err(Unreadable(cause)) => {
                self.is_changed = true;
                marked(cause)
            }
        };
        self.to
            .extend(u32::try_from(written.len()).ok()?.to_be_bytes());
        self.to.extend(written);
        Some(())
    }

    /// What was written, when it differs from what was read.
    fn finish(mut self) -> Option<Vec<u8>> {
        self.to.extend_from_slice(self.from);
        self.is_changed.then_some(self.to)
    }
}

/// A table with one entry.
fn marked(cause: &str) -> Vec<u8> {
    let mut table = vec![u8::try_from(MARK.len()).unwrap_or(0)];
    table.extend_from_slice(MARK.as_bytes());
    table.push(b'S');
    table.extend(u32::try_from(cause.len()).unwrap_or(0).to_be_bytes());
    table.extend_from_slice(cause.as_bytes());
    table
}

/// The methods that bring texts of other people.
fn method(payload: &[u8]) -> Option<Vec<u8>> {
    let mut copy = Copy::new(payload);
    let [_, class, _, method, ..] = *payload else {
        return None;
    };
    copy.copy(4)?;
    match (class, method) {
        // basic.deliver: consumer, tag, redelivered; exchange, routing key.
        (60, 60) => {
            copy.short()?;
            copy.copy(9)?;
            copy.short()?;
            copy.short()?;
        }
        // basic.return: code, text, exchange, routing key.
        (60, 50) => {
            copy.copy(2)?;
            copy.short()?;
            copy.short()?;
            copy.short()?;
        }
        // connection.close and channel.close repeat names in their text.
        (10, 50) | (20, 40) => {
            copy.copy(2)?;
            copy.short()?;
        }
        _ => return None,
    }
    copy.finish()
}

/// Class, weight and the size of the body, before the flags.
const HEADER_HEAD: usize = 12;

/// A property of a message, for each flag from the highest.
const PROPERTIES: [Property; 14] = [
    Property::Text,
    Property::Text,
    Property::Headers,
    Property::Fixed(1),
    Property::Fixed(1),
    Property::Text,
    Property::Text,
    Property::Text,
    Property::Text,
    Property::Fixed(8),
    Property::Text,
    Property::Text,
    Property::Text,
    Property::Text,
];

enum Property {
    Text,
    Headers,
    Fixed(usize),
}

fn header(payload: &[u8]) -> Option<Vec<u8>> {
    let mut copy = Copy::new(payload);
    copy.copy(HEADER_HEAD)?;
    let [high, low] = *copy.from.get(..2)? else {
        return None;
    };
    copy.copy(2)?;
    let flags = u16::from_be_bytes([high, low]);
    for (place, property) in PROPERTIES.iter().enumerate() {
        if flags & (0x8000 >> place) == 0 {
            continue;
        }
        match property {
            Property::Text => copy.short()?,
            Property::Headers => copy.headers()?,
            Property::Fixed(count) => copy.copy(*count)?,
        }
    }
    copy.finish()
}

/// Why headers are not passed on.
#[derive(Debug)]
struct Unreadable(&'static str);

const CUT: Unreadable = Unreadable("the headers end in the middle of a value");

/// Looks through a table without building it.
struct Walk<'a> {
    from: &'a [u8],
}

impl<'a> Walk<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Unreadable> {
        let (taken, rest) = self.from.split_at_checked(count).ok_or(CUT)?;
        self.from = rest;
        Ok(taken)
    }

    fn long(&mut self) -> Result<&'a [u8], Unreadable> {
        let [a, b, c, d] = *self.take(4)? else {
            return Err(CUT);
        };
        self.take(usize::try_from(u32::from_be_bytes([a, b, c, d])).map_err(|_| CUT)?)
    }

    fn table(mut self, nesting: usize) -> Result<(), Unreadable> {
        while !self.from.is_empty() {
            let len = self.take(1)?.first().copied().ok_or(CUT)?;
            if str::from_utf8(self.take(usize::from(len))?).is_err() {
                return Err(Unreadable("the name of a header is not UTF-8"));
            }
            self.value(nesting)?;
        }
        Ok(())
    }

    fn array(mut self, nesting: usize) -> Result<(), Unreadable> {
        while !self.from.is_empty() {
            self.value(nesting)?;
        }
        Ok(())
    }

    fn value(&mut self, nesting: usize) -> Result<(), Unreadable> {
        let kind = self.take(1)?.first().copied().ok_or(CUT)?;
        let fixed = match kind {
            b't' | b'b' | b'B' => 1,
            b's' | b'U' | b'u' => 2,
            b'I' | b'i' | b'f' => 4,
            b'D' => 5,
            b'L' | b'l' | b'd' | b'T' => 8,
            b'V' => 0,
            b'S' | b'x' => {
                self.long()?;
                0
            }
            b'A' | b'F' => {
                let deeper = nesting
                    .checked_sub(1)
                    .ok_or(Unreadable("the headers are nested too deeply"))?;
                let inside = Walk { from: self.long()? };
                if kind == b'A' {
                    inside.array(deeper)?;
                } else {
                    inside.table(deeper)?;
                }
                0
            }
            _ => return Err(Unreadable("a header is of a type that does not exist")),
        };
        self.take(fixed)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
