//! What every store must do: one async function for each line of the ports'
//! contracts, under the same name.
//!
//! A suite gets a fresh [`Fixture`] for each test and looks through the ports
//! alone. Time passes by hand, on the clock of the fixture: stores that work
//! on real threads run the same lines as the one in memory. A test in this
//! crate compares the list here with the doc comments of `model::ports`.
//!
//! A store's tests are one line, beside a factory:
//!
//! ```text
//! async fn fixture(clock: Arc<TestClock>, queue_limit: usize) -> Fixture { … }
//! testkit::contract_suite!(fixture);
//! ```

pub mod access;
pub mod build;
pub mod chain;
pub mod control;
pub mod custody;
pub mod history;
pub mod intake;
pub mod lifecycle;
pub mod outbox;
mod pages;
pub mod queue;
mod random;
mod resume;
mod stale;
pub mod storms;
pub mod task;
pub mod upkeep;

use std::{any::Any, sync::Arc, time::Duration};

use model::{
    clock::{Clock, Timestamp},
    custody::Custody,
    id::{DeadLetterId, JobId},
    job::{Job, JobPlan, JobState, Lease, NextState, Outcome},
    page::{DeadQuery, EventQuery, JobQuery, Position},
    ports::{
        Accepted, Claimant, DeadLetter, DeadLetterDraft, DeadState, Fenced, History, Intake,
        JobControl, JobQueue, Judged, Recovered, Upkeep,
        access::{Audit, Tokens},
        chain::Chains,
        custody::JobCustody,
        lifecycle::Lifecycle,
        outbox::Outbox,
        task::TaskLog,
    },
    verdict::{StoredVerdict, Verdict},
};

use self::build::{LEASE, claimant, end, event, fire, judged, succeeded};
use crate::clock::TestClock;

/// Every fixture is made with this limit; one line is about it.
pub const QUEUE_LIMIT: usize = 40;

/// One fresh store behind its ports.
pub struct Fixture {
    pub intake: Arc<dyn Intake>,
    pub queue: Arc<dyn JobQueue>,
    pub control: Arc<dyn JobControl>,
    pub history: Arc<dyn History>,
    pub upkeep: Arc<dyn Upkeep>,
    pub custody: Arc<dyn JobCustody>,
    pub outbox: Arc<dyn Outbox>,
    pub tokens: Arc<dyn Tokens>,
    pub audit: Arc<dyn Audit>,
    pub chains: Arc<dyn Chains>,
    pub lifecycle: Arc<dyn Lifecycle>,
    pub tasks: Arc<dyn TaskLog>,
    /// The clock that the store was given: [`TestClock::by_hand`].
    pub clock: Arc<TestClock>,
    /// What must live as long as the store, such as its directory.
    pub guard: Box<dyn Any + Send + Sync>,
}

impl Fixture {
    pub fn new<S>(store: Arc<S>, clock: Arc<TestClock>, guard: impl Any + Send + Sync) -> Self
    where
        S: Intake
            + JobQueue
            + JobControl
            + History
            + Upkeep
            + JobCustody
            + Outbox
            + Tokens
            + Audit
            + Chains
            + Lifecycle
            + TaskLog
            + 'static,
    {
        Self {
            intake: Arc::clone(&store) as Arc<dyn Intake>,
            queue: Arc::clone(&store) as Arc<dyn JobQueue>,
            control: Arc::clone(&store) as Arc<dyn JobControl>,
            history: Arc::clone(&store) as Arc<dyn History>,
            upkeep: Arc::clone(&store) as Arc<dyn Upkeep>,
            custody: Arc::clone(&store) as Arc<dyn JobCustody>,
            outbox: Arc::clone(&store) as Arc<dyn Outbox>,
            tokens: Arc::clone(&store) as Arc<dyn Tokens>,
            audit: Arc::clone(&store) as Arc<dyn Audit>,
            chains: Arc::clone(&store) as Arc<dyn Chains>,
            lifecycle: Arc::clone(&store) as Arc<dyn Lifecycle>,
            tasks: store,
            clock,
            guard: Box::new(guard),
        }
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn accept(&self, batch: Vec<Judged>) -> Vec<Accepted> {
        self.intake.accept(batch).await.unwrap()
    }

    async fn accept_one(&self, judged: Judged) -> Accepted {
        self.accept(vec![judged]).await.remove(0)
    }

    /// Accepts an event for which one rule, `r`, fires.
    async fn give(&self, id: &str, plan: JobPlan) -> JobId {
        let judged = judged(event(id, self.now()), vec![fire("r", plan)]);
        let mut accepted = self.accept_one(judged).await;
        assert_eq!(accepted.jobs.len(), 1, "one rule fires for `{id}`");
        accepted.jobs.remove(0)
    }

    /// As [`Fixture::give`], under the custody of a delivery.
    async fn give_under(&self, custody: &Custody, id: &str, plan: JobPlan) -> JobId {
        let mut accepted = self.accept_one(under(custody, id, self.now(), plan)).await;
        assert_eq!(accepted.jobs.len(), 1, "one rule fires for `{id}`");
        accepted.jobs.remove(0)
    }

    /// Claims what can be had now.
    async fn claim(&self, max: usize) -> Vec<Lease> {
        self.claim_as(&claimant("w1"), max).await
    }

    async fn claim_as(&self, who: &Claimant, max: usize) -> Vec<Lease> {
        self.queue
            .claim(who, max, LEASE, Duration::ZERO)
            .await
            .unwrap()
    }

    /// Claims the job that must be the only one that can be had.
    async fn claim_only(&self, job: &JobId) -> Lease {
        self.claim_only_as(&claimant("w1"), job).await
    }

    async fn claim_only_as(&self, who: &Claimant, job: &JobId) -> Lease {
        let mut leases = self.claim_as(who, 100).await;
        let ids: Vec<&JobId> = leases.iter().map(|lease| &lease.id.job).collect();
        assert_eq!(ids, [job], "what can be claimed");
        leases.remove(0)
    }

    async fn finish(&self, lease: &Lease, outcome: Outcome, next: NextState) {
        let last = end(lease.step, outcome.clone());
        let fenced = self
            .queue
            .finish(&lease.id, Some(&last), &outcome, &next)
            .await
            .unwrap();
        assert_eq!(
            fenced,
            Fenced::Recorded,
            "the lease of {} is held",
            lease.id
        );
    }

    async fn succeed(&self, lease: &Lease) {
        self.finish(lease, succeeded(), NextState::Succeeded).await;
    }

    /// Lets every lease run out.
    fn expire(&self) {
        self.clock.advance(LEASE);
    }

    async fn recover(&self) -> Vec<Recovered> {
        self.queue.recover(100, 0.5).await.unwrap()
    }

    async fn job(&self, id: &JobId) -> Job {
        let job = self.history.job(id).await.unwrap();
        job.expect("the job is there")
    }

    async fn state(&self, id: &JobId) -> JobState {
        self.job(id).await.state
    }

    /// The words of the verdicts on an event, with their rules.
    async fn verdicts(&self, id: &str) -> Vec<StoredVerdict> {
        self.history.verdicts(&id.parse().unwrap()).await.unwrap()
    }

    async fn all_jobs(&self) -> Vec<Job> {
        let page = self.history.jobs(&all_jobs()).await.unwrap();
        assert_eq!(page.next, None, "a suite makes fewer jobs than a page");
        page.items
    }

    async fn all_events(&self) -> usize {
        let page = self.history.events(&all_events()).await.unwrap();
        assert_eq!(page.next, None, "a suite makes fewer events than a page");
        page.items.len()
    }

    async fn open_dead(&self) -> Vec<DeadLetter> {
        let page = self.history.dead_letters(&open_dead()).await.unwrap();
        assert_eq!(page.next, None, "a suite makes fewer letters than a page");
        page.items
    }

    async fn dead(&self, id: &DeadLetterId) -> DeadLetter {
        let letter = self.history.dead_letter(id).await.unwrap();
        letter.expect("the dead letter is there")
    }

    async fn keep_dead(&self, draft: DeadLetterDraft) -> DeadLetterId {
        self.control.keep_dead(draft).await.unwrap()
    }
}

/// An event for which one rule, `r`, fires, under the custody of a delivery.
fn under(custody: &Custody, id: &str, accepted: Timestamp, plan: JobPlan) -> Judged {
    Judged {
        custody: custody.clone(),
        ..judged(event(id, accepted), vec![fire("r", plan)])
    }
}

fn all_jobs() -> JobQuery {
    JobQuery {
        event: None,
        rule: None,
        state: None,
        since: None,
        until: None,
        position: Position::Newest,
        limit: 500,
    }
}

fn all_events() -> EventQuery {
    EventQuery {
        topic: None,
        since: None,
        until: None,
        source: None,
        severity: None,
        position: Position::Newest,
        limit: 500,
    }
}

fn open_dead() -> DeadQuery {
    DeadQuery {
        kind: None,
        rule: None,
        state: Some(DeadState::Open),
        position: Position::Newest,
        limit: 500,
    }
}

/// The verdicts as pairs of rule and word.
fn words(verdicts: &[StoredVerdict]) -> Vec<(&str, Verdict)> {
    verdicts
        .iter()
        .map(|verdict| (verdict.rule.as_str(), verdict.verdict))
        .collect()
}

/// The whole list, given to another macro. The only place where a line is
/// named; `contract_suite!` and [`LINES`] are made of it. What deliveries and
/// outboxes ask of other ports stands with their own lines.
#[doc(hidden)]
#[macro_export]
macro_rules! contract_lines {
    ($then:ident, $argument:tt) => {
        $crate::$then! { $argument
            intake {
                accepting_keeps_the_event_its_verdicts_and_its_jobs_together
                accepting_an_event_again_makes_nothing_and_names_the_first_jobs
                another_body_under_a_known_id_becomes_a_dead_letter
                an_id_twice_in_one_batch_is_a_duplicate
                a_batch_over_the_queue_limit_changes_nothing
                a_rule_that_cannot_compute_its_key_leaves_a_verdict_and_a_dead_letter
                a_job_whose_key_is_held_waits
                refiring_makes_one_job_for_a_rule_and_an_event
            }
            queue {
                a_job_is_leased_to_one_worker_at_a_time
                an_expired_lease_is_claimed_again_with_a_higher_attempt_number
                jobs_of_one_key_are_claimed_in_order_one_at_a_time
                a_job_that_retries_or_is_held_keeps_its_key
                a_retrying_job_is_claimed_when_its_delay_has_passed
                a_claim_wakes_when_a_job_arrives
                renewing_returns_the_leases_still_held_and_what_is_to_be_cancelled
                advancing_records_a_step_and_begins_the_next
                finishing_with_a_stale_lease_changes_nothing_and_says_so
                output_is_kept_in_order_and_refused_from_a_stale_lease
                a_failed_job_is_a_dead_letter_with_its_cause
                recovery_follows_what_the_interrupted_step_says
                a_wall_clock_that_jumps_ends_no_lease
            }
            control {
                cancelling_ends_what_does_not_run_and_asks_what_does
                an_ended_job_releases_its_key_to_the_next
                retrying_is_for_failed_cancelled_and_held_jobs_and_resets_the_budget
                a_retried_job_waits_when_its_key_is_taken
                retrying_a_job_closes_its_dead_letter
                a_dead_letter_is_closed_once
                the_same_bytes_again_are_one_open_letter
            }
            history {
                pages_cover_a_list_without_gap_or_repeat_while_it_grows
                the_place_of_an_event_is_a_cursor_of_the_list
                a_list_ends_where_its_newest_item_was_also_when_that_is_gone
                events_are_filtered_by_topic_time_source_and_severity
                jobs_are_filtered_by_event_rule_state_and_time
                a_waiting_job_names_the_job_it_waits_for
                output_is_read_from_any_offset_of_any_attempt_and_step
                numbers_keep_their_text
            }
            storms {
                a_debounced_job_is_delayed_until_its_rule_is_quiet
                a_firing_takes_the_place_of_one_that_waits_for_quiet
                a_throttle_lets_through_what_its_window_has_room_for
                a_throttle_that_queues_gives_each_job_its_own_time
                a_busy_key_is_waited_for_by_the_latest_or_not_at_all
                events_of_one_batch_are_decided_one_after_the_other
                a_firing_counts_towards_the_queue_limit_whatever_stands_against_it
                a_rule_on_trial_leaves_a_verdict_and_no_job
                a_delayed_job_that_is_due_takes_its_place_by_acceptance
                delays_and_windows_follow_the_boot_clock_and_after_a_reboot_the_wall
                a_job_that_ends_before_it_begins_gives_its_place_back
                a_delayed_job_goes_back_with_its_delivery_and_stays_delayed
            }
            upkeep {
                a_revision_is_kept_once_and_read_back
                retention_removes_what_is_old_and_ended_in_small_steps
                retention_keeps_what_an_open_job_needs
                status_counts_what_is_there
            }
            custody {
                a_job_of_a_delivery_is_claimed_by_its_worker_alone
                a_lost_job_of_a_delivery_is_returned
                a_job_taken_over_follows_its_on_lost
                a_returned_job_is_resumed_when_its_delivery_comes_again
                standing_shows_the_jobs_of_an_event_and_whose_they_are
                a_parked_job_is_the_stores_and_survives_its_worker
                giving_back_returns_what_does_not_run
                the_deliveries_of_former_workers_are_given_back
            }
            outbox {
                an_event_is_put_into_the_outbox_of_each_route_once
                the_outbox_gives_events_in_order_of_acceptance
                what_was_sent_is_not_given_again
                what_cannot_be_sent_becomes_a_dead_letter_and_lets_the_next_pass
                waiting_for_the_outbox_wakes_when_an_event_arrives
                the_backlog_is_counted_for_each_sink
                an_event_can_be_put_into_an_outbox_again
                retention_keeps_what_a_sink_has_not_taken
            }
            access {
                a_token_is_kept_as_a_hash_and_read_back
                a_name_is_free_again_when_its_token_is_revoked
                a_token_is_revoked_once
                the_last_use_of_a_token_only_moves_forward
                a_full_store_forgets_the_tokens_that_ended_first
                what_is_done_to_tokens_is_in_the_audit
                the_audit_is_filtered_and_paged
                what_people_do_to_jobs_and_dead_letters_is_in_the_audit
                what_changed_nothing_is_not_in_the_audit
                retention_forgets_what_was_done_a_year_ago
            }
            chain {
                follow_ups_are_found_by_their_cause
                follow_ups_are_found_when_their_cause_is_gone
                the_jobs_of_several_events_are_found_at_once
                the_length_of_a_chain_counts_all_its_branches
            }
            lifecycle {
                changes_are_noted_while_somebody_listens_to_their_state
                what_was_told_is_not_given_again
                waiting_for_changes_wakes_when_a_job_changes
            }
            task {
                task_events_are_kept_in_order_and_refused_from_a_stale_lease
                task_events_are_read_by_attempt_kind_status_and_host
                pages_of_task_events_cover_them_while_they_grow
                the_recap_of_a_job_is_of_the_last_attempt_of_each_step
                the_recap_of_a_job_forgets_no_change_of_an_earlier_attempt
                task_events_go_with_the_output_of_their_attempt
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! contract_tests {
    ($factory:ident $($port:ident { $($line:ident)* })*) => {
        $(
            mod $port {
                $(
                    #[tokio::test]
                    async fn $line() {
                        let clock = ::std::sync::Arc::new($crate::TestClock::by_hand());
                        let limit = $crate::contract::QUEUE_LIMIT;
                        let fixture = super::$factory(clock, limit).await;
                        $crate::contract::$port::$line(&fixture).await;
                    }
                )*
            }
        )*
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! contract_list {
    ($argument:tt $($port:ident { $($line:ident)* })*) => {
        &[$((stringify!($port), &[$(stringify!($line)),*])),*]
    };
}

/// One `#[tokio::test]` for each line of the contracts. Takes the name of an
/// `async fn(Arc<TestClock>, usize) -> Fixture` in the module that calls it.
#[macro_export]
macro_rules! contract_suite {
    ($factory:ident) => {
        $crate::contract_lines! { contract_tests, $factory }
    };
}

/// The lines by port.
pub const LINES: &[(&str, &[&str])] = contract_lines! { contract_list, () };

#[cfg(test)]
mod tests;
