//! Lines of [`model::ports::Intake`].

use model::{
    event::{Event, RecordedEvent},
    id::EventId,
    job::{JobPlan, JobState},
    ports::{AcceptError, DeadKind, DeadState},
    verdict::{Decision, Firing, Verdict},
};
use serde_json::json;

use super::{
    Fixture, QUEUE_LIMIT,
    build::{by, event, fire, judged, keyed, plan, revision, rule},
    words,
};

fn suppress(name: &str) -> Decision {
    Decision {
        rule: rule(name),
        firing: Firing::Suppress {
            reason: "the playbook is missing".to_owned(),
        },
    }
}

fn error(name: &str) -> Decision {
    Decision {
        rule: rule(name),
        firing: Firing::Error {
            reason: "`event.body.release` is undefined".to_owned(),
        },
    }
}

fn id(text: &str) -> EventId {
    text.parse().unwrap()
}

pub async fn accepting_keeps_the_event_its_verdicts_and_its_jobs_together(store: &Fixture) {
    let mut first = event("e1", store.now());
    first.headers.insert("x".to_owned(), json!(["y", null]));
    first.body = json!({"z": 1, "a": {"nested": [true, "\u{0}\u{1b}[0m 'quoted' \"✓\""]}});
    let third = JobPlan {
        account: Some("releng".parse().unwrap()),
        ..keyed("k")
    };
    let decisions = vec![
        fire("one", plan()),
        suppress("two"),
        fire("three", third.clone()),
    ];
    let answers = store
        .accept(vec![
            judged(first.clone(), decisions),
            judged(event("e2", store.now()), vec![]),
        ])
        .await;

    assert_eq!(answers[0].id, first.id);
    assert!(!answers[0].duplicate && !answers[0].conflict);
    assert_eq!(answers[0].jobs.len(), 2, "one job for each rule that fired");
    assert_eq!(answers[1].id, id("e2"));
    assert_eq!(answers[1].jobs, [], "no rule matched");

    let kept = store.history.event(&first.id).await.unwrap();
    let expect = RecordedEvent {
        event: first.clone(),
        revision: revision(),
        place: kept.as_ref().expect("it is kept").place,
    };
    assert_eq!(kept.as_ref(), Some(&expect));
    let keys = |event: &Event| -> Vec<String> {
        let body = event.body.as_object().unwrap();
        body.keys().cloned().collect()
    };
    assert_eq!(keys(&expect.event), keys(&kept.unwrap().event), "key order");

    let verdicts = store.verdicts("e1").await;
    assert_eq!(
        words(&verdicts),
        [
            ("one", Verdict::Fired),
            ("two", Verdict::Suppressed),
            ("three", Verdict::Fired),
        ]
    );
    assert_eq!(verdicts[0].job_id.as_ref(), Some(&answers[0].jobs[0]));
    assert_eq!(verdicts[1].job_id, None);
    assert_eq!(verdicts[1].reason, "the playbook is missing");
    assert_eq!(verdicts[2].job_id.as_ref(), Some(&answers[0].jobs[1]));
    assert_eq!(verdicts[0].revision, revision());
    assert_eq!(verdicts[0].event_id, first.id);

    let job = store.job(&answers[0].jobs[1]).await;
    assert_eq!(job.rule, rule("three"));
    assert_eq!(job.revision, revision());
    assert_eq!(job.event_id, first.id);
    assert_eq!(job.key.as_deref(), Some("k"));
    assert_eq!(job.account, third.account);
    let first_job = store.job(&answers[0].jobs[0]).await;
    assert_eq!(first_job.account, None, "the user of the service");
    assert_eq!(job.state, JobState::Queued);
    assert_eq!(job.reason, None);
    assert_eq!(job.result, None);
    assert_eq!(job.next_step, 0);
    assert_eq!(job.attempts, []);
    assert_eq!(job.created, store.now());
    assert_eq!((job.started, job.finished, job.due), (None, None, None));

    assert_eq!(store.verdicts("e2").await, []);
    assert_eq!(store.accept(vec![]).await, [], "an empty batch is nothing");
    assert_eq!(store.history.event(&id("e3")).await.unwrap(), None);
}

pub async fn accepting_an_event_again_makes_nothing_and_names_the_first_jobs(store: &Fixture) {
    let mut first = event("e1", store.now());
    first.body = json!({"a": 1, "b": 2});
    let decisions = vec![fire("one", plan()), fire("two", plan())];
    let jobs = store
        .accept_one(judged(first.clone(), decisions.clone()))
        .await
        .jobs;

    // The same content, told later and in another order of keys.
    store.clock.advance(super::LEASE);
    let mut again = event("e1", store.now());
    again.body = json!({"b": 2, "a": 1});
    let answer = store.accept_one(judged(again, decisions.clone())).await;
    assert!(answer.duplicate && !answer.conflict);
    assert_eq!(answer.jobs, jobs, "the first jobs, in rule order");

    let kept = store.history.event(&first.id).await.unwrap().unwrap();
    assert_eq!(kept.event, first, "the first is what is kept");
    let verdicts = store.verdicts("e1").await;
    for (name, job) in [("one", &jobs[0]), ("two", &jobs[1])] {
        let noted = verdicts
            .iter()
            .find(|verdict| verdict.rule == rule(name) && verdict.verdict == Verdict::Duplicate);
        let noted = noted.expect("that it came again is noted on each of its rules");
        assert_eq!(noted.job_id.as_ref(), Some(job));
        assert!(!noted.reason.is_empty(), "it says why");
    }

    // A sender who repeats himself for ever fills no history.
    let once = verdicts.len();
    for _ in 0..3 {
        let again = judged(first.clone(), decisions.clone());
        assert_eq!(store.accept_one(again).await.jobs, jobs);
    }
    assert_eq!(store.verdicts("e1").await.len(), once);

    // By now other rules match, and the first job has ended.
    let leases = store.claim(1).await;
    store.succeed(&leases[0]).await;
    let mut later = event("e1", store.now());
    later.body = json!({"a": 1, "b": 2});
    let answer = store
        .accept_one(judged(later, vec![fire("three", plan())]))
        .await;
    assert!(answer.duplicate && !answer.conflict);
    assert_eq!(answer.jobs, jobs);
    assert_eq!(store.all_jobs().await.len(), 2);
    assert_eq!(store.all_events().await, 1);
    assert_eq!(store.open_dead().await, []);
}

pub async fn another_body_under_a_known_id_becomes_a_dead_letter(store: &Fixture) {
    let first = event("e1", store.now());
    let decisions = vec![fire("r", plan())];
    store
        .accept_one(judged(first.clone(), decisions.clone()))
        .await;

    let mut other_body = event("e1", store.now());
    other_body.body = json!({"name": "another", "amount": 1.50});
    other_body.source = "elsewhere".to_owned();
    let answer = store
        .accept_one(judged(other_body.clone(), decisions.clone()))
        .await;
    assert!(answer.duplicate && answer.conflict);
    assert_eq!(answer.jobs, []);

    let letters = store.open_dead().await;
    assert_eq!(letters.len(), 1);
    let letter = &letters[0];
    assert_eq!(letter.state, DeadState::Open);
    assert_eq!(letter.created, store.now());
    assert_eq!(letter.closed, None);
    assert_eq!(letter.content.kind, DeadKind::IdConflict);
    assert_eq!(letter.content.event_id, Some(id("e1")));
    assert_eq!(letter.content.job_id, None);
    assert_eq!(letter.content.source, "elsewhere");
    assert!(letter.content.cause.contains("e1"), "it names the id");
    let raw = letter.content.raw.as_deref().expect("what was refused");
    let refused: Event = serde_json::from_slice(raw).unwrap();
    assert_eq!(refused, other_body);
    assert_eq!(store.dead(&letter.id).await, *letter);

    // The same refusal again is not another letter while one is open.
    let again = judged(other_body.clone(), decisions.clone());
    assert!(store.accept_one(again).await.conflict);
    assert_eq!(store.open_dead().await, letters);
    let closed = store
        .control
        .close_dead(&letter.id, DeadState::Discarded, &by("ann"))
        .await;
    assert!(closed.unwrap());
    let again = judged(other_body.clone(), decisions.clone());
    assert!(store.accept_one(again).await.conflict);
    assert_eq!(store.open_dead().await.len(), 1);

    let mut other_topic = first.clone();
    other_topic.topic = "org.example.elsewhere".parse().unwrap();
    let answer = store.accept_one(judged(other_topic, decisions)).await;
    assert!(
        answer.conflict,
        "the topic is part of what an id stands for"
    );

    let kept = store.history.event(&first.id).await.unwrap().unwrap();
    assert_eq!(kept.event, first);
    assert_eq!(store.all_jobs().await.len(), 1);
    assert_eq!(words(&store.verdicts("e1").await), [("r", Verdict::Fired)]);
}

pub async fn an_id_twice_in_one_batch_is_a_duplicate(store: &Fixture) {
    let now = store.now();
    let mut other = event("e1", now);
    other.body = json!("something else");
    let decisions = || vec![fire("r", plan())];
    let answers = store
        .accept(vec![
            judged(event("e1", now), decisions()),
            judged(event("e2", now), decisions()),
            judged(event("e1", now), decisions()),
            judged(other, decisions()),
            judged(event("e1", now), decisions()),
        ])
        .await;
    let seen: Vec<(&str, bool, bool)> = answers
        .iter()
        .map(|answer| (answer.id.as_str(), answer.duplicate, answer.conflict))
        .collect();
    assert_eq!(
        seen,
        [
            ("e1", false, false),
            ("e2", false, false),
            ("e1", true, false),
            ("e1", true, true),
            ("e1", true, false),
        ]
    );
    assert_eq!(answers[2].jobs, answers[0].jobs);
    assert_eq!(answers[3].jobs, []);
    assert_eq!(answers[4].jobs, answers[0].jobs);
    assert_ne!(answers[1].jobs, answers[0].jobs);
    assert_eq!(store.all_jobs().await.len(), 2);
    assert_eq!(store.all_events().await, 2);
    assert_eq!(store.open_dead().await.len(), 1);
}

pub async fn a_batch_over_the_queue_limit_changes_nothing(store: &Fixture) {
    let now = store.now();
    let batch = |from: usize, to: usize| {
        (from..to)
            .map(|n| judged(event(&format!("e{n}"), now), vec![fire("r", keyed("k"))]))
            .collect::<Vec<_>>()
    };
    // All but one place is taken, by jobs that wait as well as by the first.
    store.accept(batch(1, QUEUE_LIMIT)).await;
    let jobs_before = store.all_jobs().await;

    let mut over = batch(100, 102);
    over.insert(0, judged(event("quiet", now), vec![error("bad")]));
    let refused = store.intake.accept(over).await;
    let limit = match refused {
        Err(AcceptError::QueueFull { limit }) => limit,
        other => panic!("expected that the queue is full, got {other:?}"),
    };
    assert_eq!(limit, QUEUE_LIMIT);
    for absent in ["quiet", "e100", "e101"] {
        let event = store.history.event(&id(absent)).await.unwrap();
        assert_eq!(event, None, "nothing of the batch is kept");
        assert_eq!(store.verdicts(absent).await, []);
    }
    assert_eq!(store.open_dead().await, []);
    assert_eq!(store.all_jobs().await, jobs_before);

    // An event that came before takes no place, whoever brings it along.
    let mut last = batch(1, 3);
    last.extend(batch(100, 101));
    store.accept(last).await;
    let refused = store.intake.accept(batch(101, 102)).await;
    assert!(matches!(refused, Err(AcceptError::QueueFull { .. })));

    let again = store.accept(batch(1, 3)).await;
    assert!(
        again.iter().all(|answer| answer.duplicate),
        "what was accepted is answered however full the queue is"
    );
    let quiet = judged(event("quiet", now), vec![suppress("r")]);
    assert_eq!(store.accept_one(quiet).await.jobs, []);

    // A job that has ended makes room.
    let lease = store.claim(1).await.remove(0);
    store.succeed(&lease).await;
    store.accept(batch(101, 102)).await;
}

pub async fn a_rule_that_cannot_compute_its_key_leaves_a_verdict_and_a_dead_letter(
    store: &Fixture,
) {
    let mut event = event("e1", store.now());
    event.source = "fedora".to_owned();
    let answer = store
        .accept_one(judged(event, vec![error("bad"), fire("good", plan())]))
        .await;
    assert_eq!(answer.jobs.len(), 1, "the other rule fires all the same");
    assert_eq!(store.job(&answer.jobs[0]).await.rule, rule("good"));

    let verdicts = store.verdicts("e1").await;
    assert_eq!(
        words(&verdicts),
        [("bad", Verdict::Error), ("good", Verdict::Fired)]
    );
    assert_eq!(verdicts[0].reason, "`event.body.release` is undefined");
    assert_eq!(verdicts[0].job_id, None);

    let letters = store.open_dead().await;
    assert_eq!(letters.len(), 1);
    let content = &letters[0].content;
    assert_eq!(content.kind, DeadKind::RuleError);
    assert_eq!(content.event_id, Some(id("e1")));
    assert_eq!(content.rule, Some(rule("bad")));
    assert_eq!(content.job_id, None);
    assert_eq!(content.source, "fedora");
    assert!(content.cause.contains("`event.body.release` is undefined"));
}

pub async fn a_job_whose_key_is_held_waits(store: &Fixture) {
    let first = store.give("e1", keyed("k")).await;
    let second = store.give("e2", keyed("k")).await;
    let other_key = store.give("e3", keyed("K")).await;
    let keyless = store.give("e4", plan()).await;
    assert_eq!(store.state(&first).await, JobState::Queued);
    assert_eq!(store.state(&second).await, JobState::Waiting);
    assert_eq!(store.state(&other_key).await, JobState::Queued);
    assert_eq!(store.state(&keyless).await, JobState::Queued);

    let fired = store.verdicts("e2").await;
    assert_eq!(words(&fired), [("r", Verdict::Fired)]);
    assert!(
        fired[0].reason.contains(first.as_str()),
        "the verdict names what the job waits for"
    );

    // Keys are shared by the rules of a store, also within one event; an
    // empty key is a key.
    let jobs = store
        .accept_one(judged(
            event("e5", store.now()),
            vec![fire("one", keyed("")), fire("two", keyed(""))],
        ))
        .await
        .jobs;
    assert_eq!(store.state(&jobs[0]).await, JobState::Queued);
    assert_eq!(store.state(&jobs[1]).await, JobState::Waiting);
}

pub async fn refiring_makes_one_job_for_a_rule_and_an_event(store: &Fixture) {
    let decisions = vec![error("bad"), fire("good", plan())];
    store
        .accept_one(judged(event("e1", store.now()), decisions))
        .await;
    let refire = async |event: &str, decision: Decision| {
        let newer = "beef02".parse().unwrap();
        let answer = store.intake.refire(&id(event), &newer, &decision).await;
        answer.unwrap()
    };

    assert_eq!(refire("e1", error("bad")).await, Some(None));
    assert_eq!(refire("e1", suppress("bad")).await, Some(None));
    let made = refire("e1", fire("bad", keyed("k"))).await;
    let made = made.flatten().expect("the rule has no job of this event");
    let job = store.job(&made).await;
    assert_eq!((job.rule, job.state), (rule("bad"), JobState::Queued));
    assert_eq!(job.revision, "beef02".parse().unwrap());
    assert_eq!(job.event_id, id("e1"));

    let again = refire("e1", fire("bad", keyed("k"))).await;
    assert_eq!(again, Some(None), "the rule has its job");
    let other = refire("e1", fire("good", plan())).await;
    assert_eq!(other, Some(None), "so has this one, from the beginning");
    assert_eq!(refire("e9", fire("bad", plan())).await, None);
    assert_eq!(store.all_jobs().await.len(), 2);

    let verdicts = store.verdicts("e1").await;
    let fired = verdicts
        .iter()
        .find(|verdict| verdict.job_id.as_ref() == Some(&made))
        .expect("a refiring is noted");
    assert_eq!(fired.verdict, Verdict::Fired);

    let waiting = refire("e1", fire("third", keyed("k"))).await;
    let waiting = waiting.flatten().unwrap();
    assert_eq!(
        store.state(&waiting).await,
        JobState::Waiting,
        "keys hold for what is fired late"
    );
}
