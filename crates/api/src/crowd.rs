//! Connections that wait for a request, and which of them has to go when
//! there is no place for another.
//!
//! A client that opens connections and says nothing costs little until all
//! places are taken. Then the connection that has waited longest makes room:
//! who has something to ask is answered, however many are silent. A request
//! whose body does not come waits as well, and has a head start: each piece
//! that comes renews it. What has an answer or a stream in flight is left alone.

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
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

/// For a connection that has to go and owes nothing.
pub(crate) const GRACE: Duration = Duration::from_secs(1);

/// For the next piece of a body, while others need its place.
const UPLOAD: Duration = Duration::from_secs(5);

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
    seats: BTreeMap<Number, CancellationToken>,
}

/// Who goes first: since when it counts as waiting, and in which order they came.
type Number = (Instant, u64);

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum For {
    Request,
    /// The rest of a request whose head is here.
    Body,
}

impl For {
    /// Before it counts as waiting.
    fn head_start(self) -> Duration {
        match self {
            Self::Request => Duration::ZERO,
            Self::Body => UPLOAD,
        }
    }
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
    number: Mutex<Option<Number>>,
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
        seat.wait(For::Request);
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

    /// The head of a request is here; until this is dropped its answer is
    /// under way.
    pub(crate) fn begin(self: &Arc<Self>, body: &Incoming) -> Busy {
        if body.is_end_stream() {
            self.has_it_all();
        } else {
            self.wait(For::Body);
        }
        Busy(Arc::clone(self))
    }

    /// A request is here, or needs no more for its answer.
    pub(crate) fn has_it_all(&self) {
        self.has_asked.store(true, Ordering::Relaxed);
        self.leave();
    }

    /// Behind all others that wait for the same.
    fn wait(&self, what: For) {
        self.leave();
        {
            let mut waiting = self.crowd.lock();
            let number = (Instant::now() + what.head_start(), waiting.next);
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

    fn number(&self) -> MutexGuard<'_, Option<Number>> {
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
        self.0.wait(For::Request);
    }
}

/// The body of a request: each piece that comes shows that the client is there.
pub(crate) struct Upload {
    body: Incoming,
    seat: Arc<Seat>,
}

impl Upload {
    pub(crate) fn new(body: Incoming, seat: &Arc<Seat>) -> Self {
        Self {
            body,
            seat: Arc::clone(seat),
        }
    }
}

impl hyper::body::Body for Upload {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        ctx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(ctx);
        match &polled {
            Poll::Ready(Some(Ok(_))) if !self.body.is_end_stream() => self.seat.wait(For::Body),
            Poll::Ready(_) => self.seat.has_it_all(),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
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
