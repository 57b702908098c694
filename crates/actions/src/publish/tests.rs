use std::{future::pending, sync::Mutex, time::Duration};

use model::{
    action::Stop,
    clock::{BootTime, Timestamp},
    event::Severity,
    id::{JobId, Principal},
    job::Exit,
    link::{LinkState, LinkStatus},
    ports::{AcceptError, OutputSink},
    topic::Topic,
};
use serde_json::json;
use testkit::{clock::TestClock, corpus::VALUES};
use tokio::sync::{Notify, watch};

use super::*;

/// What a sink does with everything.
#[derive(Debug, Clone)]
enum Manner {
    Answers(Result<(), PublishError>),
    /// Waits for as long as it may, as a blocked broker makes it.
    Patient,
    /// Does not even keep the time.
    Hangs,
}

/// Keeps what it was given.
#[derive(Debug)]
struct FakeSink {
    name: SinkName,
    manner: Manner,
    taken: Mutex<Vec<(Arc<Event>, Duration)>>,
    /// Told when something was taken.
    heard: Notify,
}

#[async_trait]
impl Sink for FakeSink {
    fn name(&self) -> &SinkName {
        &self.name
    }

    fn kind(&self) -> &'static str {
        "fake"
    }

    async fn publish(
        &self,
        events: &[Arc<Event>],
        patience: Duration,
    ) -> Vec<Result<(), PublishError>> {
        for event in events {
            let taken = (Arc::clone(event), patience);
            self.taken.lock().unwrap().push(taken);
        }
        self.heard.notify_one();
        let answer = match &self.manner {
            Manner::Answers(answer) => answer.clone(),
            Manner::Patient => {
                timeout(patience, pending::<()>()).await.unwrap_err();
                Err(PublishError::Unconfirmed {
                    why: "it is short of disk space".to_owned(),
                })
            }
            Manner::Hangs => pending().await,
        };
        vec![answer; events.len()]
    }

    fn status(&self) -> LinkStatus {
        LinkStatus {
            state: LinkState::Connected,
            since: Timestamp::default(),
            peer: None,
            detail: None,
            messages: 0,
            losses: 0,
        }
    }

    async fn close(&self) {}
}

#[derive(Debug, Default)]
struct Kept(Mutex<Vec<u8>>);

#[async_trait]
impl OutputSink for Kept {
    async fn write(&self, bytes: Vec<u8>) {
        self.0.lock().unwrap().extend(bytes);
    }
}

/// Takes follow-ups, or refuses them.
#[derive(Debug, Default)]
struct FakeIntake {
    taken: Mutex<Vec<EventDraft>>,
    refusals: Mutex<Vec<FollowUpError>>,
}

#[async_trait]
impl FollowUps for FakeIntake {
    async fn follow_up(&self, event: EventDraft) -> Result<(), FollowUpError> {
        self.taken.lock().unwrap().push(event);
        self.refusals.lock().unwrap().pop().map_or(Ok(()), Err)
    }
}

struct Stage {
    intake: Arc<FakeIntake>,
    action: PublishAction,
    sink: Arc<FakeSink>,
    clock: Arc<TestClock>,
    context: StepContext,
    output: Arc<Kept>,
    stop: watch::Sender<Option<Stop>>,
    deadline: watch::Sender<BootTime>,
}

impl Stage {
    fn new(manner: Manner) -> Self {
        let clock = Arc::new(TestClock::following());
        let sink = Arc::new(FakeSink {
            name: "bus".parse().unwrap(),
            manner,
            taken: Mutex::default(),
            heard: Notify::new(),
        });
        let sinks = [(sink.name.clone(), Arc::clone(&sink) as Arc<dyn Sink>)];
        let accepted: Timestamp = "2025-12-31T23:59:59Z".parse().unwrap();
        let event = Event {
            id: "e".parse().unwrap(),
            topic: "org.example.a".parse().unwrap(),
            time: accepted,
            accepted,
            source: "api".to_owned(),
            severity: Severity::Info,
            headers: Object::new(),
            body: json!({}),
            origin: Origin::open_http(),
            cause: None,
        };
        Self {
            intake: Arc::default(),
            action: PublishAction::new(sinks.into(), Arc::clone(&clock) as _),
            sink,
            context: StepContext {
                job: "0192-ab".parse().unwrap(),
                attempt: 1,
                step: 2,
                rule: "r".parse().unwrap(),
                event: Arc::new(event),
                project: "/nowhere".into(),
                account: None,
                timeout: Duration::from_secs(60),
                grace: Duration::from_secs(10),
                output_cap: 1024,
            },
            output: Arc::default(),
            stop: watch::channel(None).0,
            deadline: watch::channel(clock.boot().plus(Duration::from_secs(3_600))).0,
            clock,
        }
    }

    fn control(&self) -> StepControl {
        StepControl {
            stop: self.stop.subscribe(),
            deadline: self.deadline.subscribe(),
            output: Arc::clone(&self.output) as _,
            tasks: Arc::new(testkit::told::Told::default()),
            follow_ups: Arc::clone(&self.intake) as _,
        }
    }

    async fn publish(&self, call: PublishCall) -> StepReport {
        let call = StepCall::Publish(call);
        self.action
            .run(call, self.context.clone(), self.control())
            .await
    }

    fn taken(&self) -> Vec<Arc<Event>> {
        let taken = self.sink.taken.lock().unwrap();
        taken.iter().map(|(event, _)| Arc::clone(event)).collect()
    }

    fn text(&self) -> String {
        String::from_utf8(self.output.0.lock().unwrap().clone()).unwrap()
    }
}

fn call() -> PublishCall {
    PublishCall {
        sink: Some("bus".parse().unwrap()),
        topic: "org.example.done".parse().unwrap(),
        severity: Severity::Warning,
        headers: Object::new(),
        body: json!({"n": 1}),
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_is_published_and_named_in_the_result() {
    let stage = Stage::new(Manner::Answers(Ok(())));
    let report = stage.publish(call()).await;
    let taken = stage.taken();
    let [event] = taken.as_slice() else {
        panic!("{taken:?}")
    };
    let id = "2025-a34b08b4-4dc8-8842-a16b-e9821dd03ad8";
    assert_eq!(id, event.id.as_str());
    assert_eq!(
        ("lariat", Severity::Warning),
        (event.source.as_str(), event.severity)
    );
    assert_eq!("lariat", event.origin.via);
    assert_eq!(stage.clock.now(), event.time);
    let cause = Cause {
        event: "e".parse().unwrap(),
        job: "0192-ab".parse().unwrap(),
        hops: 1,
    };
    assert_eq!(Some(cause), event.cause);
    let expect = StepReport {
        outcome: Outcome::Succeeded {
            summary: "published `org.example.done` to `bus`".to_owned(),
        },
        exit: None,
        result: json!({"id": id, "topic": "org.example.done", "sink": "bus"})
            .as_object()
            .cloned(),
    };
    assert_eq!(expect, report);
    assert_eq!(
        format!("published org.example.done as {id} to bus\n"),
        stage.text()
    );
    assert_eq!(
        Duration::from_secs(60),
        stage.sink.taken.lock().unwrap()[0].1
    );
}

#[tokio::test(start_paused = true)]
async fn every_try_of_a_step_has_one_id_and_no_other_step_has_it() {
    let mut stage = Stage::new(Manner::Answers(Ok(())));
    stage.publish(call()).await;
    stage.context.attempt = 2;
    // As on another instance.
    stage.context.job = JobId::generate();
    stage
        .clock
        .set_wall("2027-01-01T00:00:00Z".parse().unwrap());
    stage.publish(call()).await;
    stage.context.step = 3;
    stage.publish(call()).await;
    stage.context.rule = "another".parse().unwrap();
    stage.publish(call()).await;
    let mut ids: Vec<String> = stage
        .taken()
        .iter()
        .map(|event| event.id.to_string())
        .collect();
    assert_eq!(ids[0], ids[1]);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(3, ids.len(), "{ids:?}");
}

fn follow_up() -> PublishCall {
    PublishCall {
        sink: None,
        ..call()
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_sink_it_goes_back_into_the_intake() {
    let stage = Stage::new(Manner::Answers(Ok(())));
    let report = stage.publish(follow_up()).await;
    assert_eq!(
        "published `org.example.done` as a follow-up",
        report.outcome.summary()
    );
    let taken = stage.intake.taken.lock().unwrap().clone();
    let id = "2025-a34b08b4-4dc8-8842-a16b-e9821dd03ad8";
    assert_eq!(1, taken.len());
    assert_eq!(id, taken[0].id.as_ref().unwrap().as_str());
    assert_eq!(
        (Severity::Warning, &json!({"n": 1})),
        (taken[0].severity, &taken[0].body)
    );
    assert_eq!(1, taken[0].cause.as_ref().unwrap().hops);
    let result = json!({"id": id, "topic": "org.example.done"});
    assert_eq!(result.as_object().cloned(), report.result);
    assert!(stage.taken().is_empty(), "no sink hears of it");
    assert_eq!(
        format!("published org.example.done as {id} to the intake\n"),
        stage.text()
    );
}

#[tokio::test(start_paused = true)]
async fn a_refused_follow_up_is_tried_again_where_that_can_help() {
    let cases = [
        (
            FollowUpError::TooLong { limit: 9 },
            Retry::Pointless,
            "9 events",
        ),
        (
            FollowUpError::IdTaken {
                id: "x".parse().unwrap(),
            },
            Retry::Pointless,
            "another event has the id `x`",
        ),
        (
            AcceptError::QueueFull { limit: 5 }.into(),
            Retry::Worthwhile,
            "5 jobs wait already",
        ),
    ];
    for (error, expect, why) in cases {
        let stage = Stage::new(Manner::Answers(Ok(())));
        stage.intake.refusals.lock().unwrap().push(error);
        let report = stage.publish(follow_up()).await;
        let Outcome::Failed { retry, summary, .. } = &report.outcome else {
            panic!("{report:?}")
        };
        assert_eq!((expect, None), (*retry, report.result));
        assert!(summary.contains(why), "{summary}");
        assert_eq!("", stage.text());
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_long_chain_publishes_nothing() {
    for call in [call(), follow_up()] {
        let mut stage = Stage::new(Manner::Answers(Ok(())));
        let event = Event {
            cause: Some(Cause {
                event: "before".parse().unwrap(),
                job: "0191-ff".parse().unwrap(),
                hops: 16,
            }),
            ..Event::clone(&stage.context.event)
        };
        stage.context.event = Arc::new(event);
        let report = stage.publish(call).await;
        let expect = Outcome::Failed {
            exit: None,
            summary: "cannot publish `org.example.done`: the chain of follow-ups has \
                      16 hops already; this looks like a loop"
                .to_owned(),
            retry: Retry::Pointless,
        };
        assert_eq!(expect, report.outcome);
        assert!(stage.taken().is_empty() && stage.intake.taken.lock().unwrap().is_empty());
    }
}

#[track_caller]
fn check_failure(answer: Result<(), PublishError>, retry: Retry, why: &str) {
    let expect = Outcome::Failed {
        exit: None,
        summary: format!("cannot publish it: {why}"),
        retry,
    };
    assert_eq!(expect, conclude(vec![answer], "it"));
}

#[test]
fn what_is_worth_another_try_is_told_apart() {
    let why = "why".to_owned();
    check_failure(
        Err(PublishError::Unconfirmed { why: why.clone() }),
        Retry::Worthwhile,
        "the broker did not confirm it: why",
    );
    check_failure(
        Err(PublishError::Refused { why: why.clone() }),
        Retry::Worthwhile,
        "the broker refused it: why",
    );
    check_failure(
        Err(PublishError::Unroutable { why: why.clone() }),
        Retry::Worthwhile,
        "no queue takes it: why",
    );
    check_failure(
        Err(PublishError::Impossible { why }),
        Retry::Pointless,
        "it cannot be sent: why",
    );
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_is_gone_is_named() {
    let stage = Stage::new(Manner::Answers(Ok(())));
    let report = stage
        .publish(PublishCall {
            sink: Some("other".parse().unwrap()),
            ..call()
        })
        .await;
    assert_eq!(
        "there is no sink `other` in lariat.yml",
        report.outcome.summary()
    );
    assert_eq!("unstartable", report.outcome.as_str());
    assert!(stage.taken().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_the_sink_waited_for_in_vain_is_told() {
    let stage = Stage::new(Manner::Patient);
    let report = stage.publish(call()).await;
    assert_eq!(
        "cannot publish `org.example.done` to `bus`: the broker did not confirm it: it is short of disk space",
        report.outcome.summary()
    );
    assert_eq!((None::<Exit>, None), (report.exit, report.result));
    assert_eq!("", stage.text());
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_does_not_keep_the_time_is_left() {
    let stage = Stage::new(Manner::Hangs);
    let begun = stage.clock.boot();
    let report = stage.publish(call()).await;
    let expect = Outcome::TimedOut {
        after: Duration::from_secs(60),
        killed: true,
    };
    assert_eq!(expect, report.outcome);
    let limit = begun.plus(Duration::from_secs(71));
    assert!(!limit.has_passed(&stage.clock.boot()));
}

#[tokio::test(start_paused = true)]
async fn a_step_that_is_asked_to_stop_stops_at_once() {
    let stage = Stage::new(Manner::Hangs);
    let by = Principal("someone".to_owned());
    stage.stop.send_replace(Some(Stop::Cancel(by.clone())));
    assert_eq!(
        Outcome::Cancelled { by },
        stage.publish(call()).await.outcome
    );

    stage.stop.send_replace(None);
    let ask = async {
        stage.sink.heard.notified().await;
        stage.stop.send_replace(Some(Stop::LeaseLost));
    };
    let begun = stage.clock.boot();
    let (report, ()) = tokio::join!(stage.publish(call()), ask);
    assert_eq!(
        "ended: the lease of the job was lost",
        report.outcome.summary()
    );
    assert_eq!(begun, stage.clock.boot());
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_is_not_moved_on_ends_the_step() {
    let mut stage = Stage::new(Manner::Hangs);
    stage.context.timeout = Duration::from_secs(1_000);
    let second = |count| Duration::from_secs(count);
    let begun = stage.clock.boot();
    stage.deadline.send_replace(begun.plus(second(30)));
    let renewed = async {
        timeout(second(20), pending::<()>()).await.unwrap_err();
        stage.deadline.send_replace(begun.plus(second(50)));
    };
    let (report, ()) = tokio::join!(stage.publish(call()), renewed);
    assert_eq!(
        "ended: the lease of the job was not renewed in time",
        report.outcome.summary()
    );
    let now = stage.clock.boot();
    assert!(begun.plus(second(50)).has_passed(&now));
    assert!(!begun.plus(second(52)).has_passed(&now));
}

#[tokio::test(start_paused = true)]
async fn every_value_stays_data() {
    for (name, text) in VALUES {
        let stage = Stage::new(Manner::Answers(Ok(())));
        let value: Value = serde_json::from_str(text).unwrap();
        let topic = value
            .as_str()
            .and_then(|text| Topic::from_outside(text).ok());
        let headers: Object = [((*name).to_owned(), value.clone())].into_iter().collect();
        let call = PublishCall {
            topic: topic.unwrap_or(call().topic),
            headers: headers.clone(),
            body: value.clone(),
            ..call()
        };
        let topic = call.topic.clone();
        stage.publish(call).await;
        let taken = stage.taken();
        assert_eq!(
            (&value, &headers, &topic),
            (&taken[0].body, &taken[0].headers, &taken[0].topic)
        );
        let said = stage.text();
        assert_eq!(1, said.lines().count(), "`{name}`: {said:?}");
        assert!(
            !said.trim_end().contains(char::is_control),
            "`{name}`: {said:?}"
        );
    }
}
