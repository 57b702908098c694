//! What routes send on: one sender for each sink, which hands it the oldest
//! events of its outbox and notes those that it has taken.
//!
//! Invariants: events go in the order of their acceptance; an event leaves
//! the outbox only when the sink has confirmed it or will never take it; what
//! a sender holds in memory is one batch. A crash between the confirmation
//! and the note sends an event twice, under the same id. What was confirmed
//! behind an event that was not is sent again behind it.

use std::{
    ops::ControlFlow,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use model::{
    event::Event,
    fault::FaultPoint,
    id::EventId,
    ports::{
        StoreError,
        outbox::Outgoing,
        transport::{PublishError, Sink},
    },
};

use crate::{
    shared::Shared,
    tasks::{Policy, Task},
    telemetry::{
        Clean, StoreFailed,
        links::{RouteBlocked, RouteGaveUp, RouteSent, route_goes_on},
    },
};

/// Events that a sink is handed at once.
const BATCH: usize = 200;
/// How long a sink may take to answer for them.
const PATIENCE: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// One sink, as the engine sees it.
pub(crate) struct Sender {
    pub(crate) sink: Arc<dyn Sink>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Why the first event was not taken.
    trouble: Option<String>,
    /// The sink refused one: they go one at a time until it takes one.
    is_careful: bool,
    /// Before the next try.
    pause: Duration,
}

/// What came of a batch.
struct Sent {
    /// Taken, in front of everything that was not.
    taken: Vec<u64>,
    /// Never to be taken.
    given_up: Vec<(u64, EventId, PublishError)>,
    /// The first that was not taken yet.
    stopped: Option<(EventId, PublishError)>,
}

impl Sender {
    pub(crate) fn new(sink: &Arc<dyn Sink>) -> Arc<Self> {
        Arc::new(Self {
            sink: Arc::clone(sink),
            state: Mutex::new(State {
                trouble: None,
                is_careful: false,
                pause: FIRST_PAUSE,
            }),
        })
    }

    fn state<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn trouble(&self) -> Option<String> {
        self.state(|state| state.trouble.clone())
    }
}

pub(crate) fn start(shared: &Arc<Shared>) {
    for sender in &shared.senders {
        let task = Task {
            name: "send",
            owner: "outbox",
            policy: Policy::FinishLast,
        };
        let (own, sender) = (Arc::clone(shared), Arc::clone(sender));
        shared.tasks.rounds(task, move || {
            let (shared, sender) = (Arc::clone(&own), Arc::clone(&sender));
            async move { sender.round(&shared).await }
        });
    }
}

impl Sender {
    /// One batch, and the pause after it when the sink does not take it all.
    async fn round(&self, shared: &Shared) -> ControlFlow<()> {
        let finish = shared.tasks.finish();
        if finish.is_cancelled() {
            return ControlFlow::Break(());
        }
        let goes_on = match self.send(shared).await {
            Ok(goes_on) => goes_on,
            Err(StoreError::Closed) => return ControlFlow::Break(()),
            Err(error) => {
                StoreFailed {
                    what: "read or note what a sink takes",
                    error: &error,
                }
                .emit();
                false
            }
        };
        if !goes_on {
            let pause = self.state(|state| {
                let pause = state.pause;
                state.pause = (pause * 2).min(LONGEST_PAUSE);
                pause
            });
            tokio::select! {
                () = finish.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        ControlFlow::Continue(())
    }

    /// Hands over the oldest events. `false`: something was not taken.
    async fn send(&self, shared: &Shared) -> Result<bool, StoreError> {
        let outbox = &shared.parts.outbox;
        let name = self.sink.name();
        let is_careful = self.state(|state| state.is_careful);
        let max = if is_careful { 1 } else { BATCH };
        let poll = shared.parts.settings.poll;
        let finish = shared.tasks.finish();
        let pending = tokio::select! {
            biased;
            pending = outbox.pending(name, 0, max, poll) => pending?,
            () = finish.cancelled() => return Ok(true),
        };
        if pending.is_empty() {
            return Ok(true);
        }
        let (seqs, events): (Vec<u64>, Vec<Arc<Event>>) = pending
            .into_iter()
            .map(|Outgoing { seq, event }| (seq, Arc::new(event)))
            .unzip();
        let answers = self.sink.publish(&events, PATIENCE).await;
        let sent = sort(&seqs, &events, answers);
        if !sent.taken.is_empty() {
            shared
                .parts
                .faults
                .reach(FaultPoint::AfterPublishBeforeRecord);
            self.note(shared, &sent.taken).await?;
            RouteSent {
                sink: name,
                events: sent.taken.len(),
            }
            .emit(&shared.meter);
        }
        for (seq, event, error) in &sent.given_up {
            RouteGaveUp {
                sink: name,
                event,
                error,
            }
            .emit(&shared.meter);
            outbox.give_up(name, *seq, &error.to_string()).await?;
        }
        let has_progress = !sent.taken.is_empty() || !sent.given_up.is_empty();
        self.remember(sent.stopped.as_ref(), has_progress);
        Ok(sent.stopped.is_none())
    }

    /// Notes what was taken, as long as the store can be hoped for: it would
    /// be sent again otherwise.
    async fn note(&self, shared: &Shared, taken: &[u64]) -> Result<(), StoreError> {
        let finish = shared.tasks.finish();
        let mut pause = FIRST_PAUSE;
        loop {
            let noted = shared.parts.outbox.sent(self.sink.name(), taken).await;
            let Err(error) = noted else {
                return Ok(());
            };
            if !crate::shared::is_transient(&error) || finish.is_cancelled() {
                return Err(error);
            }
            StoreFailed {
                what: "note what a sink has taken",
                error: &error,
            }
            .emit();
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn remember(&self, stopped: Option<&(EventId, PublishError)>, has_progress: bool) {
        let name = self.sink.name();
        self.state(|state| {
            if has_progress {
                state.pause = FIRST_PAUSE;
                state.is_careful = false;
            }
            match stopped {
                Some((event, error)) => {
                    if matches!(error, PublishError::Refused { .. }) {
                        state.is_careful = true;
                    }
                    let trouble = Clean(&error.to_string()).to_string();
                    if state.trouble.is_none() {
                        RouteBlocked {
                            sink: name,
                            event,
                            error,
                        }
                        .emit();
                    }
                    state.trouble = Some(trouble);
                }
                None => {
                    if state.trouble.take().is_some() {
                        route_goes_on(name);
                    }
                }
            }
        });
    }
}

/// Goes through the answers up to the first that asks for another try.
fn sort(seqs: &[u64], events: &[Arc<Event>], answers: Vec<Result<(), PublishError>>) -> Sent {
    let mut sent = Sent {
        taken: Vec::with_capacity(seqs.len()),
        given_up: Vec::new(),
        stopped: None,
    };
    let missing = std::iter::repeat_with(|| {
        Err(PublishError::Unconfirmed {
            why: "it gave no answer".to_owned(),
        })
    });
    for ((seq, event), answer) in seqs
        .iter()
        .zip(events)
        .zip(answers.into_iter().chain(missing))
    {
        match answer {
            Ok(()) => sent.taken.push(*seq),
            Err(error) if error.is_retryable() => {
                sent.stopped = Some((event.id.clone(), error));
                break;
            }
            Err(error) => sent.given_up.push((*seq, event.id.clone(), error)),
        }
    }
    sent
}
