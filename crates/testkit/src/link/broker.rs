//! One queue, the connections that consume it, and what can happen to them.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use model::{
    clock::{BootTime, Clock},
    event::EventDraft,
    link::{Delivery, DeliveryTag, FleetNote, Received, Settle, Talk, Terms, Undecodable},
};

/// After so long without a sign of life the broker drops a connection.
const NOTICED_AFTER: Duration = Duration::from_secs(15);

/// What becomes of notes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Notes {
    #[default]
    Pass,
    /// Nobody hears them, as when the broker's disk is full.
    Vanish,
    /// Nobody may send or hear them.
    Forbidden,
}

/// What lies in the queue.
#[derive(Debug, Clone)]
pub(super) struct Message {
    /// Its place in the queue, which it keeps when it is delivered again.
    seq: u64,
    content: Result<EventDraft, Undecodable>,
    redelivered: bool,
}

/// A queue in memory.
pub struct MemoryBroker {
    pub(super) clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    next_seq: u64,
    queue: BTreeMap<u64, Message>,
    /// While set no broker runs.
    down_until: Option<BootTime>,
    pub(super) peers: Vec<Peer>,
    acked: u64,
    requeued: u64,
    notes: Vec<FleetNote>,
    notes_are: Notes,
}

/// One source as the broker and the source's own side see it.
pub(super) struct Peer {
    pub(super) terms: Terms,
    pub(super) prefetch: usize,
    /// The connection that is open, and how many there were.
    pub(super) connection: Option<u64>,
    pub(super) connections: u64,
    next_number: u64,
    unacked: BTreeMap<u64, Message>,
    /// What the source is to hand over before anything else.
    pub(super) events: VecDeque<Received>,
    pub(super) is_paused: bool,
    pub(super) is_closed: bool,
    /// Nothing passes in either direction since then.
    pub(super) cut_since: Option<BootTime>,
    /// What was sent into the cut: it arrives when the way is open again,
    /// unless the connection is gone by then.
    unsent: Vec<Unsent>,
    /// The last moment at which the connection was known to be good.
    pub(super) answered: BootTime,
    pub(super) received: u64,
}

enum Unsent {
    Settled(Vec<DeliveryTag>, Settle),
    Note(FleetNote),
}

impl MemoryBroker {
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            clock,
            state: Mutex::default(),
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(super) fn change<T>(&self, how: impl FnOnce(&mut State, &BootTime) -> T) -> T {
        let now = self.clock.boot();
        let mut state = self.lock();
        state.pass_time(&now);
        how(&mut state, &now)
    }

    /// Somebody publishes an event into the queue.
    pub fn publish(&self, draft: EventDraft) {
        self.put(Ok(draft));
    }

    /// Somebody publishes bytes that are no event.
    pub fn publish_bytes(&self, raw: &[u8]) {
        self.put(Err(Undecodable {
            cause: "it is not JSON".to_owned(),
            raw: raw.to_vec(),
        }));
    }

    fn put(&self, content: Result<EventDraft, Undecodable>) {
        self.change(|state, _| {
            let seq = state.next_seq;
            state.next_seq += 1;
            let message = Message {
                seq,
                content,
                redelivered: false,
            };
            state.queue.insert(seq, message);
        });
    }

    /// All connections are lost, and nothing listens for a while.
    pub fn restart(&self, down_for: Duration) {
        self.change(|state, now| {
            state.down_until = Some(now.plus(down_for));
            for index in 0..state.peers.len() {
                state.drop_connection(index);
            }
        });
    }

    /// The connection of one source is reset; it may connect again at once.
    pub fn reset(&self, peer: usize) {
        self.change(|state, _| state.drop_connection(peer));
    }

    /// Nothing passes between the broker and one source any more. The broker
    /// notices after a while, the source when it is healed.
    pub fn partition(&self, peer: usize) {
        self.change(|state, now| {
            let peer = &mut state.peers[peer];
            peer.cut_since.get_or_insert_with(|| now.clone());
        });
    }

    /// The way is open again.
    pub fn heal(&self, peer: usize) {
        self.change(|state, _| {
            state.peers[peer].cut_since = None;
            for unsent in std::mem::take(&mut state.peers[peer].unsent) {
                match unsent {
                    Unsent::Settled(tags, how) => state.settle(peer, &tags, how),
                    Unsent::Note(note) => state.tell(peer, note),
                }
            }
        });
    }

    /// What becomes of notes from now on.
    pub fn set_notes(&self, to: Notes) {
        self.change(|state, _| state.notes_are = to);
    }

    /// Messages in the queue that nobody holds.
    pub fn waiting(&self) -> usize {
        self.lock().queue.len()
    }

    /// Messages that were delivered and are not settled.
    pub fn unacked(&self) -> usize {
        self.lock()
            .peers
            .iter()
            .map(|peer| peer.unacked.len())
            .sum()
    }

    pub fn acked(&self) -> u64 {
        self.lock().acked
    }

    pub fn requeued(&self) -> u64 {
        self.lock().requeued
    }

    /// Everything that instances have told each other.
    pub fn notes(&self) -> Vec<FleetNote> {
        self.lock().notes.clone()
    }
}

impl State {
    pub(super) fn add_peer(&mut self, terms: Terms, prefetch: usize, now: &BootTime) -> usize {
        self.peers.push(Peer {
            terms,
            prefetch,
            connection: None,
            connections: 0,
            next_number: 0,
            unacked: BTreeMap::new(),
            events: VecDeque::new(),
            is_paused: false,
            is_closed: false,
            cut_since: None,
            unsent: Vec::new(),
            answered: now.clone(),
            received: 0,
        });
        self.peers.len() - 1
    }

    pub(super) fn is_down(&self) -> bool {
        self.down_until.is_some()
    }

    /// What time alone changes: brokers come up, silent peers are dropped, and
    /// those that can be heard have answered.
    pub(super) fn pass_time(&mut self, now: &BootTime) {
        if self
            .down_until
            .as_ref()
            .is_some_and(|until| until.has_passed(now))
        {
            self.down_until = None;
        }
        for index in 0..self.peers.len() {
            let peer = &mut self.peers[index];
            match &peer.cut_since {
                None if peer.connection.is_some() => peer.answered = now.clone(),
                Some(since) if since.plus(NOTICED_AFTER).has_passed(now) => {
                    self.drop_connection(index);
                }
                Some(_) | None => {}
            }
        }
    }

    /// The broker forgets a connection and delivers its messages again.
    pub(super) fn drop_connection(&mut self, index: usize) {
        let peer = &mut self.peers[index];
        let Some(connection) = peer.connection.take() else {
            return;
        };
        peer.unsent.clear();
        peer.events.clear();
        peer.events.push_back(Received::Lost { connection });
        let unacked = std::mem::take(&mut peer.unacked);
        for mut message in unacked.into_values() {
            message.redelivered = true;
            self.queue.insert(message.seq, message);
        }
    }

    /// Opens a connection when one can be had.
    pub(super) fn connect(&mut self, index: usize, now: &BootTime) {
        let is_down = self.is_down();
        let peer = &mut self.peers[index];
        let may = !is_down && peer.cut_since.is_none() && !peer.is_closed && !peer.is_paused;
        if may && peer.connection.is_none() && peer.events.is_empty() {
            peer.connections += 1;
            peer.connection = Some(peer.connections);
            peer.next_number = 0;
            peer.answered = now.clone();
        }
    }

    /// Takes what may be delivered to a peer.
    pub(super) fn deliver(&mut self, index: usize, now: &BootTime) -> Vec<Delivery> {
        let peer = &mut self.peers[index];
        let Some(connection) = peer.connection else {
            return Vec::new();
        };
        if peer.is_paused || peer.cut_since.is_some() {
            return Vec::new();
        }
        let room = peer.prefetch.saturating_sub(peer.unacked.len());
        let mut deliveries = Vec::new();
        while deliveries.len() < room.min(peer.terms.batch)
            && let Some((_, message)) = self.queue.pop_first()
        {
            peer.next_number += 1;
            let tag = DeliveryTag {
                connection,
                number: peer.next_number,
            };
            peer.received += 1;
            deliveries.push(Delivery {
                tag,
                redelivered: message.redelivered,
                received: now.clone(),
                content: message.content.clone(),
            });
            peer.unacked.insert(tag.number, message);
        }
        deliveries
    }

    /// Settles what is still the peer's.
    pub(super) fn settle(&mut self, index: usize, tags: &[DeliveryTag], how: Settle) {
        let peer = &mut self.peers[index];
        if peer.cut_since.is_some() {
            peer.unsent.push(Unsent::Settled(tags.to_vec(), how));
            return;
        }
        for tag in tags {
            if Some(tag.connection) != peer.connection {
                continue;
            }
            let message = peer.unacked.remove(&tag.number);
            let mut message = message.unwrap_or_else(|| panic!("delivery {tag} was settled twice"));
            match how {
                Settle::Ack => self.acked += 1,
                Settle::Requeue => {
                    self.requeued += 1;
                    message.redelivered = true;
                    self.queue.insert(message.seq, message);
                }
            }
        }
    }

    /// Whether a peer believes that it hears others.
    pub(super) fn talk(&self, index: usize) -> Talk {
        match (self.notes_are, self.peers[index].connection) {
            (Notes::Forbidden, _) => Talk::Refused,
            (Notes::Pass | Notes::Vanish, Some(_)) => Talk::Heard,
            (Notes::Pass | Notes::Vanish, None) => Talk::Silent,
        }
    }

    /// Everybody who is connected hears it, the sender too.
    pub(super) fn tell(&mut self, index: usize, note: FleetNote) {
        let sender = &mut self.peers[index];
        if sender.connection.is_none() {
            return;
        }
        if sender.cut_since.is_some() {
            sender.unsent.push(Unsent::Note(note));
            return;
        }
        if self.notes_are != Notes::Pass {
            return;
        }
        self.notes.push(note.clone());
        for peer in &mut self.peers {
            if peer.connection.is_some() && peer.cut_since.is_none() {
                peer.events.push_back(Received::Note(note.clone()));
            }
        }
    }
}
