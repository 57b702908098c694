//! Connections that wait for a request, and which of them has to go when
//! there is no place for another.
//!
//! A client that opens connections and says nothing costs little until all
//! places are taken. Then the connection that has waited longest makes room:
//! who has something to ask is answered, however many are silent. What has a
//! request or a stream in flight is left alone.

use std::{
    collections::BTreeMap,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::body::{Body, Bytes};
use hyper::body::{Frame, SizeHint};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// For a connection that has to go and owes nothing.
pub(crate) const GRACE: Duration = Duration::from_secs(1);

/// All connections.
pub(crate) struct Crowd {
    places: Arc<Semaphore>,
    waiting: Mutex<Waiting>,
    /// A connection began to wait.
    came: Notify,
}

/// Who waits, those that have waited longest first.
#[derive(Default)]
struct Waiting {
    next: u64,
    seats: BTreeMap<u64, CancellationToken>,
}

impl Crowd {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            places: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))),
            waiting: Mutex::default(),
            came: Notify::new(),
        })
    }

    /// A place for one more, which another may have to leave. Nothing is lost
    /// when this is not waited for.
    pub(crate) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        let mut place = pin!(Arc::clone(&self.places).acquire_owned());
        loop {
            tokio::select! {
                biased;
                place = &mut place => return place.ok(),
                () = self.send_away() => {}
            }
            // One that still owes something takes longer, and then another
            // has to go as well.
            if let Ok(place) = timeout(GRACE, &mut place).await {
                return place.ok();
            }
        }
    }

    /// Ends the connection that has waited longest, as soon as one waits.
    async fn send_away(&self) {
        loop {
            let came = self.came.notified();
            let longest = self.lock().seats.pop_first();
            if let Some((_, seat)) = longest {
                seat.cancel();
                return;
            }
            came.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection among them. A new one waits.
pub(crate) struct Seat {
    crowd: Arc<Crowd>,
    /// Its number while it waits.
    number: Mutex<Option<u64>>,
    away: CancellationToken,
    /// Whether it has ever sent a complete request.
    has_asked: AtomicBool,
    /// Whether a part of an answer waits for the client to take it.
    owes: Arc<AtomicBool>,
    _place: OwnedSemaphorePermit,
}

impl Seat {
    pub(crate) fn new(crowd: Arc<Crowd>, place: OwnedSemaphorePermit) -> Arc<Self> {
        let seat = Self {
            crowd,
            number: Mutex::new(None),
            away: CancellationToken::new(),
            has_asked: AtomicBool::new(false),
            owes: Arc::default(),
            _place: place,
        };
        seat.wait();
        Arc::new(seat)
    }

    /// Told by the socket.
    pub(crate) fn owes(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.owes)
    }

    /// Until the connection has to go.
    pub(crate) async fn sent_away(&self) {
        self.away.cancelled().await;
    }

    /// Whether the client has never sent a complete request.
    pub(crate) fn is_silent(&self) -> bool {
        !self.has_asked.load(Ordering::Relaxed)
    }

    /// Whether the client has an answer to expect.
    pub(crate) fn is_owed(&self) -> bool {
        self.owes.load(Ordering::Relaxed) || self.number().is_none()
    }

    /// A request is here; until this is dropped its answer is under way.
    pub(crate) fn begin(self: &Arc<Self>) -> Busy {
        self.has_asked.store(true, Ordering::Relaxed);
        self.leave();
        Busy(Arc::clone(self))
    }

    fn wait(&self) {
        {
            let mut waiting = self.crowd.lock();
            let number = waiting.next;
            waiting.next += 1;
            waiting.seats.insert(number, self.away.clone());
            *self.number() = Some(number);
        }
        self.crowd.came.notify_one();
    }

    fn leave(&self) {
        let number = self.number().take();
        if let Some(number) = number {
            self.crowd.lock().seats.remove(&number);
        }
    }

    fn number(&self) -> MutexGuard<'_, Option<u64>> {
        self.number.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.leave();
    }
}

/// A request in flight.
pub(crate) struct Busy(Arc<Seat>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.wait();
    }
}

impl Busy {
    /// An answer is under way until its body has been handed over.
    pub(crate) fn until_taken(self, body: Body) -> Body {
        Body::new(Answer { body, _busy: self })
    }
}

struct Answer {
    body: Body,
    _busy: Busy,
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        ctx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(ctx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
