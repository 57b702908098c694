//! From a program's output pipe to the store: in pieces worth storing, up to
//! a cap, at the pace of who keeps them.
//!
//! Bytes stay as they are. What is beyond the cap is left out of the middle:
//! the end of an output says most about why a program failed.

use std::{collections::VecDeque, pin::pin, time::Duration};

use model::ports::OutputSink;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    sync::oneshot,
    time::{Instant, sleep_until, timeout_at},
};

const PIECE: usize = 64 * 1024;
const PIECE_TIME: Duration = Duration::from_millis(100);
/// How long a pipe that somebody still holds open is read after the end.
const SILENCE: Duration = Duration::from_millis(200);
const LAST_CALL: Duration = Duration::from_secs(1);
const TAIL: usize = 32 * 1024;

/// Carries output until the pipe ends, or shortly after `over`.
pub(super) async fn pump(
    mut pipe: impl AsyncRead + Unpin,
    sink: &dyn OutputSink,
    cap: u64,
    over: oneshot::Receiver<()>,
) {
    let mut capped = Capped::new(cap);
    let mut over = pin!(over);
    let mut last_call: Option<Instant> = None;
    let mut piece = Vec::with_capacity(PIECE);
    loop {
        let silence = match last_call {
            Some(end) => end.min(Instant::now() + SILENCE),
            None => Instant::now(),
        };
        let read = tokio::select! {
            biased;
            _ = &mut over, if last_call.is_none() => {
                last_call = Some(Instant::now() + LAST_CALL);
                continue;
            }
            read = pipe.read_buf(&mut piece) => read,
            () = sleep_until(silence), if last_call.is_some() => break,
        };
        if !matches!(read, Ok(1..)) {
            break;
        }
        let until = Instant::now() + PIECE_TIME;
        while piece.len() < PIECE {
            match timeout_at(until, pipe.read_buf(&mut piece)).await {
                Ok(Ok(1..)) => {}
                // The next round finds the end again.
                Ok(Ok(0) | Err(_)) | Err(_) => break,
            }
        }
        let kept = capped.take(&piece);
        piece.clear();
        if !kept.is_empty() {
            sink.write(kept).await;
        }
        if last_call.is_some_and(|end| Instant::now() >= end) {
            break;
        }
    }
    let rest = capped.finish();
    if !rest.is_empty() {
        sink.write(rest).await;
    }
}

/// Keeps the head of a stream as it comes, and the last of what is beyond.
struct Capped {
    head_left: usize,
    tail: VecDeque<u8>,
    tail_max: usize,
    left_out: u64,
}

impl Capped {
    fn new(cap: u64) -> Self {
        let cap = usize::try_from(cap).unwrap_or(usize::MAX);
        let tail_max = TAIL.min(cap / 2);
        Self {
            head_left: cap - tail_max,
            tail: VecDeque::new(),
            tail_max,
            left_out: 0,
        }
    }

    /// What of `bytes` is to be kept now.
    fn take(&mut self, bytes: &[u8]) -> Vec<u8> {
        let fits = if bytes.len() <= self.head_left {
            bytes.len()
        } else {
            character_start(bytes, self.head_left)
        };
        let (now, later) = bytes.split_at(fits);
        if later.is_empty() {
            self.head_left -= fits;
        } else {
            self.head_left = 0;
            self.tail.extend(later);
            let excess = self.tail.len().saturating_sub(self.tail_max);
            self.tail.drain(..excess);
            self.left_out += excess as u64;
        }
        now.to_vec()
    }

    /// What is to be kept at the end.
    fn finish(mut self) -> Vec<u8> {
        let tail = self.tail.make_contiguous();
        if self.left_out == 0 {
            return tail.to_vec();
        }
        // Not from the middle of a character on.
        let start = tail
            .iter()
            .take(3)
            .take_while(|byte| is_continuation(**byte))
            .count();
        let left_out = self.left_out + start as u64;
        let mut rest = format!("\n[lariat: {left_out} bytes of output left out]\n").into_bytes();
        rest.extend_from_slice(tail.get(start..).unwrap_or_default());
        rest
    }
}

/// The last place at or before `at` that is not inside a UTF-8 character.
fn character_start(bytes: &[u8], at: usize) -> usize {
    (at.saturating_sub(3)..=at)
        .rev()
        .find(|place| bytes.get(*place).is_none_or(|byte| !is_continuation(*byte)))
        .unwrap_or(at)
}

fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

#[cfg(test)]
mod tests;
