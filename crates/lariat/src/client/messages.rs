//! Reads server-sent events, as the HTML standard says, out of pieces of bytes
//! that are cut anywhere.

use std::collections::VecDeque;

/// What one message may have: more is nothing that a service sends.
const MOST_BYTES: usize = 512 << 20;

/// A message of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) event: String,
    pub(crate) data: String,
}

/// A stream that is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MessagesError {
    #[error("a message has more than {MOST_BYTES} bytes")]
    TooLong,
    #[error("a message is not UTF-8")]
    NotText,
}

/// A stream that is being read.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    line: Vec<u8>,
    event: String,
    data: String,
    /// The id of the message that is being read.
    id: Option<String>,
    /// Where to go on: the id of the last whole message.
    last_id: Option<String>,
    ready: VecDeque<Message>,
}

impl Messages {
    pub(crate) fn take(&mut self, mut bytes: &[u8]) -> Result<(), MessagesError> {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = bytes.split_at(end);
            self.line.extend_from_slice(line);
            bytes = rest.get(1..).unwrap_or_default();
            let line = std::mem::take(&mut self.line);
            let line = String::from_utf8(line).map_err(|_| MessagesError::NotText)?;
            self.line(line.strip_suffix('\r').unwrap_or(&line));
        }
        self.line.extend_from_slice(bytes);
        if self.line.len() + self.data.len() > MOST_BYTES {
            return Err(MessagesError::TooLong);
        }
        Ok(())
    }

    fn line(&mut self, line: &str) {
        if line.is_empty() {
            self.end();
            return;
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => value.clone_into(&mut self.event),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            // Comments, `retry`, and what may come to be.
            _ => {}
        }
    }

    fn end(&mut self) {
        if let Some(id) = self.id.take() {
            self.last_id = Some(id);
        }
        let event = std::mem::take(&mut self.event);
        let mut data = std::mem::take(&mut self.data);
        if data.pop().is_some() {
            self.ready.push_back(Message { event, data });
        }
    }

    /// The next whole message.
    pub(crate) fn next(&mut self) -> Option<Message> {
        self.ready.pop_front()
    }

    /// Where to go on when all messages that are ready have been taken.
    pub(crate) fn into_last_id(self) -> Option<String> {
        self.last_id
    }
}

#[cfg(test)]
mod tests;
