//! What is worth logging about sources and sinks.

use model::{
    id::{DeadLetterId, EventId, LeaseId, SinkName, SourceName},
    link::{FleetNote, FleetWord},
    ports::{AcceptError, StoreError, transport::PublishError},
};
use tracing::{debug, error, info, warn};

use super::{Chain, Clean};
use crate::meter::Meter;

/// A connection of a source is gone.
pub(crate) struct ConnectionLost<'a> {
    pub(crate) source: &'a SourceName,
    pub(crate) connection: u64,
    pub(crate) unsettled: usize,
}

impl ConnectionLost<'_> {
    pub(crate) fn emit(&self) {
        let Self {
            source,
            connection,
            unsettled,
        } = self;
        warn!(
            %source, connection, unsettled,
            "source `{source}` lost its connection, {unsettled} deliveries are the broker's again"
        );
    }
}

/// The store does not take events for now; the line is held.
pub(crate) struct AcceptHeld<'a> {
    pub(crate) error: &'a AcceptError,
}

impl AcceptHeld<'_> {
    pub(crate) fn emit(&self) {
        warn!(error = %Chain(self.error), "cannot accept deliveries yet, trying again");
    }
}

/// A delivery that is not an event became a dead letter.
pub(crate) struct UndecodableKept<'a> {
    pub(crate) source: &'a SourceName,
    pub(crate) letter: &'a DeadLetterId,
    pub(crate) cause: &'a str,
}

impl UndecodableKept<'_> {
    pub(crate) fn emit(&self, meter: &Meter) {
        let Self { source, letter, .. } = self;
        meter.refused(source.as_str(), "undecodable");
        warn!(
            %source, dead_letter.id = %letter, cause = %Clean(self.cause),
            "source `{source}` delivered what is not an event, kept as dead letter `{letter}`"
        );
    }
}

/// One event that the store never takes.
pub(crate) struct EventPoisoned<'a> {
    pub(crate) event: &'a EventId,
    pub(crate) error: &'a StoreError,
}

impl EventPoisoned<'_> {
    pub(crate) fn emit(&self) {
        let event = self.event;
        error!(
            event.id = %event, error = %Chain(self.error),
            "the store cannot keep event `{event}`, it becomes a dead letter"
        );
    }
}

/// Deliveries were acknowledged before their jobs had ended: the store
/// answers for them.
pub(crate) struct DeliveriesParked<'a> {
    pub(crate) source: &'a SourceName,
    pub(crate) events: &'a [EventId],
}

impl DeliveriesParked<'_> {
    pub(crate) fn emit(&self) {
        let (source, count) = (self.source, self.events.len());
        debug!(%source, count, first = ?self.events.first(), "parked {count} deliveries");
    }
}

/// A redelivered event joined the jobs that it has here.
pub(crate) struct DeliveriesJoined<'a> {
    pub(crate) source: &'a SourceName,
    pub(crate) count: usize,
}

impl DeliveriesJoined<'_> {
    pub(crate) fn emit(&self) {
        let Self { source, count } = self;
        debug!(%source, count, "{count} deliveries joined the jobs that they have here");
    }
}

/// Nobody spoke for deliveries that another process had.
pub(crate) struct DeliveriesTakenOver<'a> {
    pub(crate) source: &'a SourceName,
    pub(crate) events: &'a [EventId],
}

impl DeliveriesTakenOver<'_> {
    pub(crate) fn emit(&self) {
        let source = self.source;
        for event in self.events {
            warn!(
                %source, event.id = %event,
                "took event `{event}` over from a process that is gone"
            );
        }
    }
}

/// Jobs of deliveries will be another instance's.
pub(crate) struct DeliveriesGivenBack<'a> {
    pub(crate) source: &'a SourceName,
    pub(crate) events: usize,
    /// Events of the same loss that go on here.
    pub(crate) running: usize,
    pub(crate) why: &'static str,
}

impl DeliveriesGivenBack<'_> {
    pub(crate) fn emit(&self) {
        let Self {
            source,
            events,
            running,
            why,
        } = self;
        info!(
            %source, events, running, why,
            "gave {events} deliveries of `{source}` back, {running} go on here"
        );
    }
}

/// Jobs were ended, since another instance may be about to take them over.
pub(crate) struct DeliveriesFenced<'a> {
    pub(crate) source: &'a SourceName,
    pub(crate) jobs: &'a [LeaseId],
}

impl DeliveriesFenced<'_> {
    pub(crate) fn emit(&self) {
        let source = self.source;
        for LeaseId { job, attempt } in self.jobs {
            warn!(
                %source, job.id = %job, attempt,
                "ended job `{job}`: its delivery is lost, and others on the queue of `{source}` may have it"
            );
        }
    }
}

/// Another instance on the same queue has said something.
pub(crate) struct NoteHeard<'a> {
    pub(crate) source: &'a SourceName,
    pub(crate) note: &'a FleetNote,
}

impl NoteHeard<'_> {
    pub(crate) fn emit(&self) {
        let FleetNote {
            from,
            about,
            events,
        } = self.note;
        let what = match about {
            FleetWord::Ask => "asks who has",
            FleetWord::Mine => "has",
            FleetWord::Unbegun => "has not begun",
        };
        let count = events.len();
        debug!(source = %self.source, %from, count, "`{from}` {what} {count} events");
    }
}

/// A sink took events.
pub(crate) struct RouteSent<'a> {
    pub(crate) sink: &'a SinkName,
    pub(crate) events: usize,
}

impl RouteSent<'_> {
    pub(crate) fn emit(&self, meter: &Meter) {
        let Self { sink, events } = self;
        meter.sent(sink, *events);
        debug!(%sink, events, "sink `{sink}` took {events} events");
    }
}

/// A sink takes nothing for now.
pub(crate) struct RouteBlocked<'a> {
    pub(crate) sink: &'a SinkName,
    pub(crate) event: &'a EventId,
    pub(crate) error: &'a PublishError,
}

impl RouteBlocked<'_> {
    pub(crate) fn emit(&self) {
        let Self { sink, event, .. } = self;
        warn!(
            %sink, event.id = %event, error = %Chain(self.error),
            "sink `{sink}` does not take event `{event}` yet, what follows waits"
        );
    }
}

/// A sink that was blocked takes events again.
pub(crate) fn route_goes_on(sink: &SinkName) {
    info!(%sink, "sink `{sink}` takes events again");
}

/// An event that a sink will never take became a dead letter.
pub(crate) struct RouteGaveUp<'a> {
    pub(crate) sink: &'a SinkName,
    pub(crate) event: &'a EventId,
    pub(crate) error: &'a PublishError,
}

impl RouteGaveUp<'_> {
    pub(crate) fn emit(&self, meter: &Meter) {
        let Self { sink, event, .. } = self;
        meter.given_up(sink, 1);
        error!(
            %sink, event.id = %event, error = %Chain(self.error),
            "event `{event}` cannot be sent to `{sink}`, it is a dead letter"
        );
    }
}
