//! Events as they are committed, for readers that stay.
//!
//! The history is the truth and its commit order the only order: a reader is a
//! place in it. One task reads what was committed, once for all, and keeps the
//! newest of it in a ring. Readers at the front share the ring; the others read
//! pages of the history until they have caught up. Nothing here stands in the
//! way of an event: intake says that something was committed, and goes on.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use model::{
    clock::Timestamp,
    event::{RecordedEvent, Severity},
    page::{Cursor, EventQuery, List, Position},
    ports::{History, StoreError},
    topic::TopicPattern,
    verdict::Truth,
};
use rules::expr::{Condition, Scope};
use serde_json::Value;
use tokio::sync::{Notify, watch};

use crate::{
    intake::BYTES_IN_PLACE,
    lifecycle::{self, Listening},
    shared::{Phase, Shared},
    tasks::{self, Policy, Task},
    telemetry::StoreFailed,
};

use self::ring::{Look, Ring};

pub(crate) mod follow;
mod ring;

/// A wake-up makes a stream fast, looking again makes it right.
const POLL: Duration = Duration::from_secs(1);

/// Between two additions to the ring: under load, readers wake for many events
/// at once.
const GATHER: Duration = Duration::from_millis(20);

/// Events that are read from the history at once for the ring.
const PAGE: usize = 200;

/// Events that a reader gets at once.
const BATCH: usize = 100;

/// What a reader that catches up should have in memory.
const CHUNK_BYTES: usize = 256 << 10;

/// How far a reader that was at the front may fall behind.
const MOST_BEHIND: i64 = 10_000;

/// From so many events on, or more bytes than in an intake, a condition is
/// computed beside the other work.
const COMPUTED_IN_PLACE: usize = 16;

/// Which events a stream has.
#[derive(Debug, Clone, Default)]
pub struct StreamFilter {
    /// Any of these; without any, all topics but Lariat's own.
    pub topics: Vec<TopicPattern>,
    pub source: Option<String>,
    pub severity: Option<Severity>,
    /// What must be true of `event`.
    pub condition: Option<Condition>,
}

/// Where a stream begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamStart {
    Now,
    /// Behind this place, which a stream or a list has given.
    After(Cursor),
    /// With the first event that was accepted since.
    Since(Timestamp),
}

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("the cursor lies beyond the newest event; it is of another store")]
    ForeignCursor,
    #[error("the process is ending")]
    Draining,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
pub enum StreamEnd {
    #[error("more than {MOST_BEHIND} events behind")]
    Behind,
    #[error("the service is ending")]
    Draining,
    #[error("the history cannot be read")]
    Store(#[from] StoreError),
}

/// Events between these two are not in the history any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// Where the stream was to begin.
    pub after: Cursor,
    /// The oldest event that there is.
    pub oldest: Cursor,
}

/// An event on its way to its readers.
pub struct StreamEvent {
    recorded: RecordedEvent,
    weight: usize,
    rendered: OnceLock<Bytes>,
}

impl StreamEvent {
    fn new(recorded: RecordedEvent) -> Self {
        Self {
            weight: weight(&recorded),
            recorded,
            rendered: OnceLock::new(),
        }
    }

    pub fn place(&self) -> Cursor {
        self.recorded.place
    }

    /// What its readers are sent, made once for all of them. They must all
    /// render in the same way.
    pub fn rendered(&self, render: impl FnOnce(&RecordedEvent) -> Bytes) -> Bytes {
        self.rendered.get_or_init(|| render(&self.recorded)).clone()
    }

    fn weight(&self) -> usize {
        self.weight
    }
}

impl fmt::Debug for StreamEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamEvent")
            .field("place", &self.place())
            .finish_non_exhaustive()
    }
}

/// About what an event takes in memory.
fn weight(recorded: &RecordedEvent) -> usize {
    fn of(value: &Value) -> usize {
        const NODE: usize = size_of::<Value>();
        match value {
            Value::Null | Value::Bool(_) => NODE,
            Value::Number(number) => NODE + number.as_str().len(),
            Value::String(text) => NODE + text.len(),
            Value::Array(items) => NODE + items.iter().map(of).sum::<usize>(),
            Value::Object(object) => NODE + of_object(object),
        }
    }
    fn of_object(object: &model::json::Object) -> usize {
        const ENTRY: usize = 64;
        let entries = object.iter();
        entries.map(|(key, it)| ENTRY + key.len() + of(it)).sum()
    }
    size_of::<StreamEvent>() + of(&recorded.event.body) + of_object(&recorded.event.headers)
}

/// What all streams of an engine share.
pub(crate) struct Live {
    ring: Mutex<Ring>,
    /// How far the ring goes; a change wakes the readers.
    head: watch::Sender<Option<Cursor>>,
    /// Something may be behind the head.
    committed: Notify,
    readers: watch::Sender<usize>,
}

impl Live {
    pub(crate) fn new() -> Self {
        Self {
            ring: Mutex::default(),
            head: watch::Sender::new(None),
            committed: Notify::new(),
            readers: watch::Sender::new(0),
        }
    }

    /// Events were committed. Costs next to nothing, whoever listens.
    pub(crate) fn committed(&self) {
        self.committed.notify_one();
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Ring)) {
        let head = {
            let mut ring = self.ring();
            change(&mut ring);
            ring.head()
        };
        self.head.send_replace(head);
    }
}

/// Keeps the ring filled while somebody reads.
pub(crate) fn start(shared: &Arc<Shared>) {
    let task = Task {
        name: "follow the history",
        owner: "stream",
        policy: Policy::CutAfterDrain,
    };
    let own = Arc::clone(shared);
    shared.tasks.rounds(task, move || {
        let shared = Arc::clone(&own);
        async move {
            let live = &shared.live;
            let mut readers = live.readers.subscribe();
            // The sender is in `shared`: there is always one.
            if readers.wait_for(|count| *count > 0).await.is_err() {
                return std::ops::ControlFlow::Break(());
            }
            if let Err(error) = fill(&shared, &mut readers).await {
                StoreFailed {
                    what: "read events for streams",
                    error: &error,
                }
                .emit();
                tokio::time::sleep(POLL).await;
            }
            live.change(Ring::end);
            std::ops::ControlFlow::Continue(())
        }
    });
}

/// Returns when nobody reads any more.
async fn fill(shared: &Shared, readers: &mut watch::Receiver<usize>) -> Result<(), StoreError> {
    let history = &shared.parts.history;
    let live = &shared.live;
    let mut head = newest(history.as_ref()).await?.unwrap_or(Cursor(0));
    live.change(|ring| ring.begin(head));
    while *readers.borrow_and_update() > 0 {
        let page = history.events(&all(Position::After(head), PAGE)).await?;
        if page.items.is_empty() {
            tokio::select! {
                () = live.committed.notified() => {}
                () = tokio::time::sleep(POLL) => {}
                _ = readers.wait_for(|count| *count == 0) => {}
            }
            continue;
        }
        head = page.next.unwrap_or(head);
        let has_more = page.items.len() >= PAGE;
        let events = page.items.into_iter().map(StreamEvent::new).map(Arc::new);
        let events = events.collect();
        live.change(|ring| ring.push(events, head));
        if has_more {
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(GATHER).await;
        }
    }
    Ok(())
}

fn all(position: Position, limit: usize) -> EventQuery {
    EventQuery {
        topic: None,
        since: None,
        until: None,
        source: None,
        severity: None,
        position,
        limit,
    }
}

async fn newest(history: &dyn History) -> Result<Option<Cursor>, StoreError> {
    let page = history.events(&all(Position::Newest, 1)).await?;
    Ok(page.items.first().map(|event| event.place))
}

async fn oldest(history: &dyn History) -> Result<Option<Cursor>, StoreError> {
    let first = all(Position::After(Cursor(0)), 1);
    let page = history.events(&first).await?;
    Ok(page.items.first().map(|event| event.place))
}

/// See [`crate::Engine::listen`].
pub(crate) async fn listen(
    shared: &Arc<Shared>,
    filter: StreamFilter,
    start: StreamStart,
) -> Result<EventStream, ListenError> {
    let mut phase = shared.phase.subscribe();
    if *phase.borrow_and_update() != Phase::Serving {
        return Err(ListenError::Draining);
    }
    // Counted before looking, so that the ring is filled from here on.
    let reader = Reader::new(shared);
    let history = shared.parts.history.as_ref();
    let newest = newest(history).await?;
    let mut gap = None;
    let place = match (start, newest) {
        // Whatever comes now is new, also to who has seen all that was here.
        (_, None) => Cursor(0),
        (StreamStart::Now, Some(newest)) => newest,
        (StreamStart::After(after), Some(newest)) if after > newest => {
            if after > history.end(List::Events).await? {
                return Err(ListenError::ForeignCursor);
            }
            // Retention has removed what came between.
            newest
        }
        (StreamStart::After(after), Some(_)) => {
            let oldest = oldest(history).await?;
            gap = oldest
                .filter(|oldest| oldest.0 > after.0.saturating_add(1))
                .map(|oldest| Gap { after, oldest });
            after
        }
        (StreamStart::Since(since), Some(newest)) => {
            let query = EventQuery {
                since: Some(since),
                ..all(Position::After(Cursor(0)), 1)
            };
            let page = history.events(&query).await?;
            let first = page.items.first();
            first.map_or(newest, |first| Cursor(first.place.0 - 1))
        }
    };
    let listening = if filter.topics.iter().any(lifecycle::is_about_jobs) {
        Some(lifecycle::listen(shared).await?)
    } else {
        None
    };
    Ok(EventStream {
        _listening: listening,
        head: shared.live.head.subscribe(),
        reader,
        phase,
        filter: Arc::new(filter),
        place,
        gap,
        is_live: start == StreamStart::Now,
        chunk: COMPUTED_IN_PLACE,
    })
}

/// Counted for as long as it lives.
struct Reader {
    shared: Arc<Shared>,
}

impl Reader {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.live.readers.send_modify(|count| *count += 1);
        Self {
            shared: Arc::clone(shared),
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let readers = &self.shared.live.readers;
        readers.send_modify(|count| *count -= 1);
    }
}

/// A reader's place in the history, and what it asks for.
pub struct EventStream {
    reader: Reader,
    head: watch::Receiver<Option<Cursor>>,
    phase: watch::Receiver<Phase>,
    filter: Arc<StreamFilter>,
    place: Cursor,
    gap: Option<Gap>,
    /// Has been at the front.
    is_live: bool,
    /// Events to read from the history at once.
    chunk: usize,
    /// What becomes of jobs is told as long as somebody asks for it.
    _listening: Option<Listening>,
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

impl EventStream {
    /// Everything up to here was given, or not asked for.
    pub fn place(&self) -> Cursor {
        self.place
    }

    /// What is missing at the beginning, as far as is known.
    pub fn gap(&self) -> Option<Gap> {
        self.gap
    }

    /// The next events that were asked for, in commit order; waits for the
    /// first. Nothing is lost when the answer is not waited for.
    pub async fn next(&mut self) -> Result<Vec<Arc<StreamEvent>>, StreamEnd> {
        loop {
            if *self.phase.borrow_and_update() != Phase::Serving {
                return Err(StreamEnd::Draining);
            }
            // Seen before looking: what changes from here on wakes.
            let head = *self.head.borrow_and_update();
            let look = self.reader.shared.live.ring().after(self.place, BATCH);
            let (events, place) = match look {
                Look::Events(events, place) => {
                    self.is_live = true;
                    (events, place)
                }
                Look::UpToDate => {
                    self.is_live = true;
                    self.wait().await;
                    continue;
                }
                Look::Behind => {
                    let behind = head.map_or(0, |head| head.0.saturating_sub(self.place.0));
                    if self.is_live && behind > MOST_BEHIND {
                        return Err(StreamEnd::Behind);
                    }
                    let (events, place) = self.page().await?;
                    if events.is_empty() && place == self.place {
                        self.is_live = true;
                        self.wait().await;
                        continue;
                    }
                    (events, place)
                }
            };
            let events = self.asked_for(events).await;
            self.place = place;
            if !events.is_empty() {
                return Ok(events);
            }
            // A long way without anything must not keep others from theirs.
            tokio::task::yield_now().await;
        }
    }

    /// Until there may be more.
    async fn wait(&mut self) {
        tokio::select! {
            _ = self.head.changed() => {}
            _ = self.phase.changed() => {}
            () = tokio::time::sleep(POLL), if self.head.borrow().is_none() => {}
        }
    }

    /// What follows, from the history itself.
    async fn page(&mut self) -> Result<(Vec<Arc<StreamEvent>>, Cursor), StoreError> {
        let topic = match self.filter.topics.as_slice() {
            [only] => Some(only.clone()),
            [] | [_, _, ..] => None,
        };
        let query = EventQuery {
            topic,
            source: self.filter.source.clone(),
            severity: self.filter.severity,
            ..all(Position::After(self.place), self.chunk)
        };
        let page = self.reader.shared.parts.history.events(&query).await?;
        let events = page.items.into_iter().map(StreamEvent::new).map(Arc::new);
        let events: Vec<_> = events.collect();
        let bytes: usize = events.iter().map(|event| event.weight()).sum();
        self.chunk = if bytes > CHUNK_BYTES {
            (self.chunk / 2).max(1)
        } else {
            (self.chunk * 2).min(BATCH)
        };
        Ok((events, page.next.unwrap_or(self.place)))
    }

    async fn asked_for(&self, mut events: Vec<Arc<StreamEvent>>) -> Vec<Arc<StreamEvent>> {
        events.retain(|event| self.filter.is_about(&event.recorded));
        let bytes: usize = events.iter().map(|event| event.weight()).sum();
        let is_small = events.len() < COMPUTED_IN_PLACE && bytes <= BYTES_IN_PLACE;
        if self.filter.condition.is_none() || is_small {
            events.retain(|event| self.filter.holds(&event.recorded));
            return events;
        }
        let filter = Arc::clone(&self.filter);
        let holding = tasks::blocking(move || {
            events.retain(|event| filter.holds(&event.recorded));
            events
        });
        match holding.await {
            Ok(events) => events,
            // The runtime ends, and nobody reads any more.
            Err(_ending) => std::future::pending().await,
        }
    }
}

impl StreamFilter {
    fn is_about(&self, recorded: &RecordedEvent) -> bool {
        let event = &recorded.event;
        let is_topic = if self.topics.is_empty() {
            !event.topic.is_reserved()
        } else {
            self.topics.iter().any(|topic| topic.matches(&event.topic))
        };
        is_topic
            && self.severity.is_none_or(|it| it == event.severity)
            && self.source.as_ref().is_none_or(|it| *it == event.source)
    }

    fn holds(&self, recorded: &RecordedEvent) -> bool {
        self.condition.as_ref().is_none_or(|condition| {
            let scope = Scope::of_event(&recorded.event, "");
            condition.holds(&scope) == Truth::True
        })
    }
}
