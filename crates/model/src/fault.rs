//! Named moments at which a test may end the process.
//!
//! A fault point stands wherever a crash would fall between two durable
//! effects. In service [`NoFaults`] makes every one of them nothing.

/// The moments, in the order in which a job passes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultPoint {
    BeforeAcceptCommit,
    AfterAcceptCommitBeforeReply,
    BeforeClaimCommit,
    AfterClaimBeforeStart,
    AfterStepStarted,
    AfterOutputAppended,
    AfterStepBeforeRecord,
    BetweenSteps,
    BeforeFinishCommit,
    AfterFinish,
    DuringRecovery,
    DuringRenewal,
    DuringReload,
    DuringRetention,
    DuringDrain,
    /// A source's events are committed, and the source is not told yet.
    AfterAcceptBeforeAck,
    /// The store answers for a delivery's jobs, and the broker does not know.
    AfterParkBeforeAck,
    /// A sink has confirmed, and the outbox still holds the event.
    AfterPublishBeforeRecord,
}

impl FaultPoint {
    pub const ALL: [Self; 18] = [
        Self::BeforeAcceptCommit,
        Self::AfterAcceptCommitBeforeReply,
        Self::BeforeClaimCommit,
        Self::AfterClaimBeforeStart,
        Self::AfterStepStarted,
        Self::AfterOutputAppended,
        Self::AfterStepBeforeRecord,
        Self::BetweenSteps,
        Self::BeforeFinishCommit,
        Self::AfterFinish,
        Self::DuringRecovery,
        Self::DuringRenewal,
        Self::DuringReload,
        Self::DuringRetention,
        Self::DuringDrain,
        Self::AfterAcceptBeforeAck,
        Self::AfterParkBeforeAck,
        Self::AfterPublishBeforeRecord,
    ];

    /// Passed only where there are sources and sinks.
    pub fn needs_broker(self) -> bool {
        matches!(
            self,
            Self::AfterAcceptBeforeAck | Self::AfterParkBeforeAck | Self::AfterPublishBeforeRecord
        )
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::BeforeAcceptCommit => "before-accept-commit",
            Self::AfterAcceptCommitBeforeReply => "after-accept-commit-before-reply",
            Self::BeforeClaimCommit => "before-claim-commit",
            Self::AfterClaimBeforeStart => "after-claim-before-start",
            Self::AfterStepStarted => "after-step-started",
            Self::AfterOutputAppended => "after-output-appended",
            Self::AfterStepBeforeRecord => "after-step-before-record",
            Self::BetweenSteps => "between-steps",
            Self::BeforeFinishCommit => "before-finish-commit",
            Self::AfterFinish => "after-finish",
            Self::DuringRecovery => "during-recovery",
            Self::DuringRenewal => "during-renewal",
            Self::DuringReload => "during-reload",
            Self::DuringRetention => "during-retention",
            Self::DuringDrain => "during-drain",
            Self::AfterAcceptBeforeAck => "after-accept-before-ack",
            Self::AfterParkBeforeAck => "after-park-before-ack",
            Self::AfterPublishBeforeRecord => "after-publish-before-record",
        }
    }
}

/// Told whenever the process passes a fault point. An implementation may
/// return, or end the process; it may not block for long.
pub trait Faults: Send + Sync {
    fn reach(&self, point: FaultPoint);
}

/// Service: nothing happens.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFaults;

impl Faults for NoFaults {
    fn reach(&self, _point: FaultPoint) {}
}
