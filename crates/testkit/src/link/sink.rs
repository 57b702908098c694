//! A sink that keeps what it is given and can refuse.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use async_trait::async_trait;
use model::{
    clock::Timestamp,
    event::Event,
    id::SinkName,
    link::{LinkState, LinkStatus},
    ports::transport::{PublishError, Sink},
};

/// A sink in memory.
pub struct MemorySink {
    name: SinkName,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    taken: Vec<Event>,
    batches: Vec<usize>,
    is_blocked: bool,
    /// Answers to the next events, one each, before it takes any.
    script: VecDeque<PublishError>,
    is_closed: bool,
}

impl MemorySink {
    pub fn new(name: &str) -> Arc<Self> {
        Arc::new(Self {
            name: name.parse().unwrap(),
            state: Mutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// While blocked nothing is confirmed.
    pub fn block(&self, is_blocked: bool) {
        self.lock().is_blocked = is_blocked;
    }

    /// The next event gets this answer; further calls are for those after it.
    pub fn answer_next(&self, error: PublishError) {
        self.lock().script.push_back(error);
    }

    /// The ids of what was taken, in order, repetitions included.
    pub fn taken(&self) -> Vec<String> {
        let state = self.lock();
        state
            .taken
            .iter()
            .map(|event| event.id.to_string())
            .collect()
    }

    /// How many events each call brought.
    pub fn batches(&self) -> Vec<usize> {
        self.lock().batches.clone()
    }

    pub fn is_closed(&self) -> bool {
        self.lock().is_closed
    }
}

#[async_trait]
impl Sink for MemorySink {
    fn name(&self) -> &SinkName {
        &self.name
    }

    fn kind(&self) -> &'static str {
        "memory"
    }

    async fn publish(
        &self,
        events: &[Arc<Event>],
        patience: Duration,
    ) -> Vec<Result<(), PublishError>> {
        self.lock().batches.push(events.len());
        let is_blocked = self.lock().is_blocked;
        if is_blocked {
            tokio::time::sleep(patience).await;
            return vec![
                Err(PublishError::Unconfirmed {
                    why: "it is blocked".to_owned(),
                });
                events.len()
            ];
        }
        let mut state = self.lock();
        events
            .iter()
            .map(|event| match state.script.pop_front() {
                Some(error) => Err(error),
                None => {
                    state.taken.push(Event::clone(event));
                    Ok(())
                }
            })
            .collect()
    }

    fn status(&self) -> LinkStatus {
        LinkStatus {
            state: if self.lock().is_blocked {
                LinkState::Blocked
            } else {
                LinkState::Connected
            },
            since: Timestamp::default(),
            peer: None,
            detail: None,
            messages: self.lock().taken.len() as u64,
            losses: 0,
        }
    }

    async fn close(&self) {
        self.lock().is_closed = true;
    }
}
