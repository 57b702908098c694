//! Asks the broker again and again whether it is still there.
//!
//! lapin notices a dead peer after two heartbeats without a byte, and a job
//! may not be begun on a guess that old. A question with an answer proves that
//! the deliveries were ours when it was *sent*; two questions without one end
//! the connection. The question is `basic.qos` on a channel of its own: it
//! needs no permission and changes nothing there.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use lapin::{Event, options::BasicQosOptions};
use model::clock::{BootTime, Clock};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::debug;

use super::connect::Line;

/// Questions that may stay without an answer before the connection is cut.
const MISSES: u32 = 2;

/// What is heard of the broker.
#[derive(Debug)]
pub(super) enum Beat {
    /// A question that was sent at `asked` has its answer.
    Answered {
        asked: BootTime,
    },
    Blocked {
        reason: String,
    },
    Unblocked,
}

/// How long the cause of an end may come behind it.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// Asks every half heartbeat, and returns when the connection is gone.
pub(super) async fn watch(
    line: Arc<Line>,
    heartbeat: Duration,
    clock: Arc<dyn Clock>,
    heard: impl Fn(Beat) + Send,
) {
    let mut events = line.connection.events_listener();
    let ask = ask(&line, heartbeat / 2, clock, &heard);
    tokio::pin!(ask);
    loop {
        let event = tokio::select! {
            biased;
            event = events.next() => event,
            () = &mut ask => {
                // The end of the channel is seen first; why comes behind it.
                while let Ok(Some(event)) = timeout(LAST_WORDS, events.next()).await {
                    if let Event::Error(error) = event {
                        line.ended(&error);
                        break;
                    }
                }
                break;
            }
        };
        match event {
            Some(Event::ConnectionBlocked(reason)) => heard(Beat::Blocked { reason }),
            Some(Event::ConnectionUnblocked) => heard(Beat::Unblocked),
            // Also said of channels, which is the business of their owners.
            Some(Event::Error(_)) if line.is_connected() => {}
            Some(Event::Error(error)) => {
                line.ended(&error);
                break;
            }
            None => break,
            Some(_) => {}
        }
    }
    line.cut();
}

async fn ask(line: &Line, half: Duration, clock: Arc<dyn Clock>, heard: &impl Fn(Beat)) {
    let Ok(Ok(channel)) = timeout(half * 2, line.connection.create_channel()).await else {
        return;
    };
    let mut ticks = interval(half);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut misses = 0;
    loop {
        ticks.tick().await;
        let asked = clock.boot();
        let question = channel.basic_qos(1, BasicQosOptions::default());
        match timeout(half, question).await {
            Ok(Ok(())) => {
                misses = 0;
                heard(Beat::Answered { asked });
            }
            // Nothing but the end of the connection closes this channel.
            Ok(Err(_)) => return,
            // A broker that blocks a publisher does not read from it. Its
            // heartbeats still come, and lapin listens for them.
            Err(_) if line.is_blocked() => misses = 0,
            Err(_) => {
                misses += 1;
                debug!(peer = %line.peer, misses, "the broker did not answer");
                if misses >= MISSES {
                    return;
                }
            }
        }
    }
}
