//! Lines of [`model::ports::History`].

use std::{collections::BTreeSet, time::Duration};

use model::{
    event::Severity,
    job::{JobPlan, JobState, OnLost},
    page::{Cursor, EventQuery, JobQuery, List, Position},
    ports::{Cutoffs, Fenced, OutputQuery},
};
use serde_json::Value;

use super::{
    Fixture, all_events, all_jobs,
    build::{by, end, event, failed, fire, gave_up, held, judged, keyed, plan, retrying, rule},
    build::{object, steps, succeeded},
    pages,
};

async fn arrive(store: &Fixture, from: usize, to: usize) {
    let batch = (from..to)
        .map(|n| judged(event(&format!("e{n}"), store.now()), vec![]))
        .collect();
    store.accept(batch).await;
}

/// One page of events: their ids, and where to go on.
async fn turn(store: &Fixture, position: Position, limit: usize) -> (Vec<String>, Option<Cursor>) {
    let query = EventQuery {
        position,
        limit,
        ..all_events()
    };
    let page = store.history.events(&query).await.unwrap();
    let ids = page
        .items
        .iter()
        .map(|it| it.event.id.to_string())
        .collect();
    (ids, page.next)
}

fn named(numbers: impl Iterator<Item = usize>) -> Vec<String> {
    numbers.map(|n| format!("e{n}")).collect()
}

pub async fn pages_cover_a_list_without_gap_or_repeat_while_it_grows(store: &Fixture) {
    let (nothing, next) = turn(store, Position::Newest, 10).await;
    assert_eq!((nothing, next), (vec![], None));
    let (nothing, from_start) = turn(store, Position::After(Cursor(0)), 10).await;
    assert_eq!(nothing, Vec::<String>::new());
    let from_start = from_start.expect("where to ask again");

    // Backwards, while newer ones arrive.
    arrive(store, 0, 25).await;
    let (mut seen, mut next) = turn(store, Position::Newest, 10).await;
    let mut arrived = 25;
    while let Some(cursor) = next {
        arrive(store, arrived, arrived + 3).await;
        arrived += 3;
        let (ids, then) = turn(store, Position::Before(cursor), 10).await;
        seen.extend(ids);
        next = then;
    }
    assert_eq!(seen, named((0..25).rev()));

    // A page that takes exactly the rest is the last one.
    let (all, next) = turn(store, Position::Newest, arrived).await;
    assert_eq!(all, named((0..arrived).rev()));
    assert_eq!(next, None);

    // Forwards from the start, and on while more arrive.
    let mut seen = Vec::new();
    let mut cursor = from_start;
    let goal = arrived + 10;
    while seen.len() < goal {
        let (ids, next) = turn(store, Position::After(cursor), 4).await;
        let next = next.expect("where to ask again");
        if ids.is_empty() {
            assert_eq!(next, cursor, "nothing new, the same place");
            assert!(arrived < goal, "everything comes, and {seen:?} is not all");
            arrive(store, arrived, arrived + 5).await;
            arrived += 5;
        }
        seen.extend(ids);
        cursor = next;
    }
    assert_eq!(seen, named(0..goal));

    // A place in the list is the same place in both directions.
    let (ids, next) = turn(store, Position::Newest, 7).await;
    let (older, _) = turn(store, Position::Before(next.unwrap()), 500).await;
    let (newer, _) = turn(store, Position::After(next.unwrap()), 500).await;
    let last_of_page = 1;
    assert_eq!(ids.len() + older.len(), goal);
    assert_eq!(newer.len(), ids.len() - last_of_page);

    // A forged cursor names a place and nothing worse.
    for forged in [i64::MAX, 1 << 40] {
        let (ids, next) = turn(store, Position::Before(Cursor(forged)), 500).await;
        assert_eq!((ids.len(), next), (goal, None));
        let (ids, _) = turn(store, Position::After(Cursor(forged)), 5).await;
        assert_eq!(ids, Vec::<String>::new());
    }
    let (ids, next) = turn(store, Position::Before(Cursor(0)), 5).await;
    assert_eq!((ids, next), (vec![], None));

    pages::jobs_have_pages(store).await;
    pages::dead_letters_have_pages(store).await;
}

pub async fn the_place_of_an_event_is_a_cursor_of_the_list(store: &Fixture) {
    arrive(store, 0, 7).await;
    let query = EventQuery {
        position: Position::After(Cursor(0)),
        limit: 7,
        ..all_events()
    };
    let page = store.history.events(&query).await.unwrap();
    let places: Vec<Cursor> = page.items.iter().map(|it| it.place).collect();
    assert!(
        places.is_sorted_by(|a, b| a < b),
        "commit order: {places:?}"
    );
    assert_eq!(page.next, places.last().copied());
    for (n, item) in page.items.iter().enumerate() {
        let (newer, _) = turn(store, Position::After(item.place), 10).await;
        assert_eq!(newer, named(n + 1..7));
        let (older, _) = turn(store, Position::Before(item.place), 10).await;
        assert_eq!(older, named((0..n).rev()));
        let alone = store.history.event(&item.event.id).await.unwrap();
        assert_eq!(alone.as_ref(), Some(item));
    }
}

pub async fn a_list_ends_where_its_newest_item_was_also_when_that_is_gone(store: &Fixture) {
    let end = async |list| store.history.end(list).await.unwrap();
    for list in [List::Events, List::Jobs, List::DeadLetters, List::Audit] {
        assert_eq!(end(list).await, Cursor(0), "{list:?}");
    }
    arrive(store, 0, 7).await;
    let last = end(List::Events).await;
    let (new, _) = turn(store, Position::After(last), 10).await;
    assert_eq!(new, Vec::<String>::new());
    let (all, next) = turn(store, Position::After(Cursor(0)), 10).await;
    assert_eq!(
        (all.len(), next.is_some_and(|next| next <= last)),
        (7, true)
    );

    let cutoffs = Cutoffs {
        events: store.now().plus(Duration::from_secs(86_400)),
        output: store.now(),
        dead: store.now(),
    };
    store.upkeep.prune(&cutoffs, 100).await.unwrap();
    let (none, _) = turn(store, Position::Newest, 10).await;
    assert_eq!(none, Vec::<String>::new(), "retention removed them");
    assert_eq!(end(List::Events).await, last);
    arrive(store, 7, 8).await;
    let (new, _) = turn(store, Position::After(last), 10).await;
    assert_eq!(new, named(7..8));
}

pub async fn events_are_filtered_by_topic_time_source_and_severity(store: &Fixture) {
    let start = store.now();
    let minutes = |n: u64| start.plus(Duration::from_secs(60 * n));
    let make = |id: &str, topic: &str, source: &str, severity: Severity, minute: u64| {
        let mut event = event(id, minutes(minute));
        event.topic = topic.parse().unwrap();
        event.source = source.to_owned();
        event.severity = severity;
        // The sender's time orders nothing and filters nothing.
        event.time = start.minus(Duration::from_secs(9 * minute));
        judged(event, vec![])
    };
    use Severity::{Debug, Error, Info, Warning};
    store
        .accept(vec![
            make("a", "org.fedora.koji.build", "api", Info, 0),
            make("b", "org.fedora.koji", "fedora", Warning, 1),
            make("c", "org.debian.koji.build", "fedora", Error, 2),
            make("d", "org.fedora.bodhi.build.done", "api", Debug, 3),
            make("e", "lariat.job.failed", "lariat", Error, 4),
            make("f", "ORG.Fedora.Koji.build", "API", Info, 5),
            make("g", "org.fedora.100%_sure.build", "api", Info, 6),
        ])
        .await;

    let none = all_events();
    let check = async |query: EventQuery, expect: &str| {
        let page = store.history.events(&query).await.unwrap();
        let ids: Vec<&str> = page.items.iter().map(|it| it.event.id.as_str()).collect();
        assert_eq!(ids.concat(), expect, "{query:?}");

        // Pages of one and the other direction have the same answer.
        let mut forward = String::new();
        let mut position = Position::After(Cursor(0));
        for _ in 0..20 {
            let query = EventQuery {
                position,
                limit: 1,
                ..query.clone()
            };
            let page = store.history.events(&query).await.unwrap();
            for item in &page.items {
                forward.insert_str(0, item.event.id.as_str());
            }
            position = Position::After(page.next.unwrap());
        }
        assert_eq!(forward, expect, "one by one, {query:?}");
    };
    let by_topic = |pattern: &str| EventQuery {
        topic: Some(pattern.parse().unwrap()),
        ..none.clone()
    };
    check(none.clone(), "gfedcba").await;
    check(by_topic("#"), "gfdcba").await;
    check(by_topic("lariat.#"), "e").await;
    check(by_topic("org.fedora.#"), "gdba").await;
    check(by_topic("org.fedora.koji"), "b").await;
    check(by_topic("org.fedora.koji.#"), "ba").await;
    check(by_topic("org.*.koji.build"), "ca").await;
    check(by_topic("*.fedora.*.build"), "ga").await;
    check(by_topic("#.build"), "gfca").await;
    check(by_topic("#.build.#"), "gfdca").await;
    check(by_topic("org.fedora.100%_sure.build"), "g").await;
    check(by_topic("org.fedora.%.build"), "").await;
    check(by_topic("org.fedora.____.build"), "").await;
    let source = |name: &str| EventQuery {
        source: Some(name.to_owned()),
        ..none.clone()
    };
    check(source("api"), "gda").await;
    check(source("nobody"), "").await;
    check(source("' or 1=1 --"), "").await;
    let severity = |severity| EventQuery {
        severity: Some(severity),
        ..none.clone()
    };
    check(severity(Error), "ec").await;
    check(severity(Debug), "d").await;
    let window = |since: Option<u64>, until: Option<u64>| EventQuery {
        since: since.map(minutes),
        until: until.map(minutes),
        ..none.clone()
    };
    check(window(Some(2), None), "gfedc").await;
    check(window(None, Some(2)), "ba").await;
    check(window(Some(1), Some(3)), "cb").await;
    check(window(Some(3), Some(3)), "").await;
    check(window(Some(4), Some(2)), "").await;
    let all = EventQuery {
        topic: Some("org.#".parse().unwrap()),
        source: Some("fedora".to_owned()),
        severity: Some(Error),
        ..window(Some(1), Some(6))
    };
    check(all, "c").await;
}

pub async fn jobs_are_filtered_by_event_rule_state_and_time(store: &Fixture) {
    let start = store.now();
    let both = vec![fire("one", plan()), fire("two", plan())];
    let a = store.accept_one(judged(event("a", start), both)).await.jobs;
    store.clock.advance(Duration::from_secs(60));
    let only = vec![fire("two", plan())];
    let b = store
        .accept_one(judged(event("b", store.now()), only))
        .await
        .jobs;
    let lease = &store.claim(1).await[0];
    store.succeed(lease).await;

    let none = all_jobs();
    let check = async |query: JobQuery, expect: &[&model::id::JobId]| {
        let page = store.history.jobs(&query).await.unwrap();
        let ids: Vec<_> = page.items.iter().map(|job| &job.id).collect();
        assert_eq!(ids, expect, "{query:?}");
    };
    check(none.clone(), &[&b[0], &a[1], &a[0]]).await;
    let of_event = |id: &str| JobQuery {
        event: Some(id.parse().unwrap()),
        ..none.clone()
    };
    check(of_event("a"), &[&a[1], &a[0]]).await;
    check(of_event("nothing"), &[]).await;
    let of_rule = |name: &str| JobQuery {
        rule: Some(rule(name)),
        ..none.clone()
    };
    check(of_rule("two"), &[&b[0], &a[1]]).await;
    check(of_rule("three"), &[]).await;
    let in_state = |state| JobQuery {
        state: Some(state),
        ..none.clone()
    };
    check(in_state(JobState::Queued), &[&b[0], &a[1]]).await;
    check(in_state(JobState::Succeeded), &[&a[0]]).await;
    check(in_state(JobState::Held), &[]).await;
    let window = |since, until| JobQuery {
        since,
        until,
        ..none.clone()
    };
    let later = store.now();
    check(window(Some(later), None), &[&b[0]]).await;
    check(window(None, Some(later)), &[&a[1], &a[0]]).await;
    check(window(Some(start), Some(start)), &[]).await;
    let all = JobQuery {
        event: Some("a".parse().unwrap()),
        rule: Some(rule("two")),
        state: Some(JobState::Queued),
        ..window(Some(start), Some(later))
    };
    check(all, &[&a[1]]).await;

    let first = JobQuery {
        rule: Some(rule("two")),
        position: Position::After(Cursor(0)),
        limit: 1,
        ..none.clone()
    };
    check(first, &[&a[1]]).await;
    let nobody = store.history.job(&"no-such-job".parse().unwrap()).await;
    assert_eq!(nobody.unwrap(), None);
}

pub async fn a_waiting_job_names_the_job_it_waits_for(store: &Fixture) {
    let first = store.give("e1", keyed("k")).await;
    let second = store.give("e2", keyed("k")).await;
    let third = store.give("e3", keyed("k")).await;
    let waits_for = async |job, holder: Option<&model::id::JobId>| {
        let shown = store.job(job).await;
        assert_eq!(shown.waits_for.as_ref(), holder);
        match holder {
            Some(holder) => {
                let reason = shown.reason.expect("a waiting job says why");
                assert!(reason.contains(holder.as_str()), "{reason}");
                assert!(reason.contains("`k`"), "{reason}");
            }
            None => assert_eq!(shown.reason, None),
        }
        let listed = store.all_jobs().await;
        let listed = listed.iter().find(|it| it.id == *job).unwrap();
        assert_eq!(listed.waits_for.as_ref(), holder, "the list says the same");
    };
    waits_for(&first, None).await;
    waits_for(&second, Some(&first)).await;
    waits_for(&third, Some(&first)).await;

    let lease = store.claim_only(&first).await;
    waits_for(&second, Some(&first)).await;
    store.finish(&lease, failed(), retrying(super::LEASE)).await;
    waits_for(&second, Some(&first)).await;
    store.clock.advance(super::LEASE);
    let lease = store.claim_only(&first).await;
    store.finish(&lease, failed(), held()).await;
    waits_for(&third, Some(&first)).await;

    store.control.cancel(&first, &by("ann")).await.unwrap();
    waits_for(&second, None).await;
    waits_for(&third, Some(&second)).await;
    let lease = store.claim_only(&second).await;
    store.succeed(&lease).await;
    waits_for(&third, None).await;
}

pub async fn output_is_read_from_any_offset_of_any_attempt_and_step(store: &Fixture) {
    let job = store
        .give(
            "e1",
            JobPlan {
                steps: steps(3, OnLost::Retry),
                ..plan()
            },
        )
        .await;
    let read = async |attempt, step, offset, max| {
        let query = OutputQuery {
            job: job.clone(),
            attempt,
            step,
            offset,
            max,
        };
        store.history.output(&query).await.unwrap()
    };
    let none_yet = read(None, None, 0, 100).await.expect("the job is there");
    assert_eq!((none_yet.attempt, none_yet.next), (0, 0));
    assert_eq!(none_yet.bytes, b"");
    assert!(none_yet.is_open);
    assert_eq!(read(Some(1), None, 0, 100).await, None);

    // First attempt: two steps, a character cut in the middle of a piece and
    // at the end of a step.
    let lease = store.claim_only(&job).await;
    let append = async |lease: &model::id::LeaseId, step, bytes: &[u8]| {
        let kept = store.queue.append_output(lease, step, bytes.to_vec()).await;
        assert_eq!(kept.unwrap(), Fenced::Recorded);
    };
    append(&lease.id, 0, b"alpha \xe2").await;
    append(&lease.id, 0, b"\x9c\x93\n").await;
    append(&lease.id, 0, b"tail\xe2\x9c").await;
    let fenced = store.queue.advance(&lease.id, &end(0, succeeded())).await;
    assert_eq!(fenced.unwrap(), Fenced::Recorded);
    append(&lease.id, 1, b"beta").await;
    let whole: &[u8] = b"alpha \xe2\x9c\x93\ntail\xe2\x9cbeta";
    let running = read(None, None, 0, 1000).await.unwrap();
    assert_eq!((running.attempt, running.bytes.as_slice()), (1, whole));
    assert_eq!(running.next, whole.len() as u64);
    assert!(running.is_open, "more can come");
    let nothing_new = read(None, None, running.next, 1000).await.unwrap();
    assert_eq!(nothing_new.bytes, b"");
    assert_eq!(nothing_new.next, running.next);
    assert!(nothing_new.is_open);
    append(&lease.id, 1, b" gamma").await;
    let more = read(None, None, running.next, 1000).await.unwrap();
    assert_eq!(more.bytes, b" gamma");

    let failing = end(1, failed());
    let fenced = store
        .queue
        .finish(
            &lease.id,
            Some(&failing),
            &failed(),
            &retrying(Duration::ZERO),
        )
        .await
        .unwrap();
    assert_eq!(fenced, Fenced::Recorded);
    let second = store.claim_only(&job).await;
    append(&second.id, 1, b"again").await;

    // Every offset and every size of every part.
    let whole = [whole, b" gamma"].concat();
    let step_0: &[u8] = b"alpha \xe2\x9c\x93\ntail\xe2\x9c";
    for (attempt, step, expect) in [
        (Some(1), None, whole.as_slice()),
        (Some(1), Some(0), step_0),
        (Some(1), Some(1), b"beta gamma"),
        (Some(1), Some(2), b""),
        (Some(1), Some(99), b""),
        (Some(2), Some(0), b""),
        (Some(2), None, b"again"),
        (None, None, b"again"),
        (None, Some(1), b"again"),
    ] {
        let is_running = attempt != Some(1);
        for offset in 0..=expect.len() {
            for max in [1, 3, 1000] {
                let at = format!("{attempt:?}/{step:?} from {offset}, {max} at most");
                let output = read(attempt, step, offset as u64, max).await;
                let output = output.expect("the attempt is there");
                let to = (offset + max).min(expect.len());
                assert_eq!(output.bytes, &expect[offset..to], "{at}");
                assert_eq!(output.next, to as u64, "{at}");
                assert_eq!(output.is_open, is_running || to < expect.len(), "{at}");
                assert_eq!(output.attempt, attempt.unwrap_or(2), "{at}");
            }
        }
        let past = read(attempt, step, 1 << 40, 10).await.unwrap();
        assert_eq!(past.bytes, b"", "past the end");
    }
    assert_eq!(read(Some(0), None, 0, 10).await, None);
    assert_eq!(read(Some(3), None, 0, 10).await, None);
    let nobody = OutputQuery {
        job: "no-such-job".parse().unwrap(),
        attempt: None,
        step: None,
        offset: 0,
        max: 10,
    };
    assert_eq!(store.history.output(&nobody).await.unwrap(), None);

    // The end, and compression afterwards, change no byte.
    store.finish(&second, failed(), gave_up()).await;
    let long_ago = model::clock::Timestamp::from_millis(0);
    let cutoffs = model::ports::Cutoffs {
        events: long_ago,
        output: long_ago,
        dead: long_ago,
    };
    store.upkeep.prune(&cutoffs, 100).await.unwrap();
    for offset in 0..=whole.len() {
        let output = read(Some(1), None, offset as u64, 1000).await.unwrap();
        assert_eq!(output.bytes, &whole[offset..]);
        assert!(!output.is_open);
    }
    let last = read(None, Some(1), 2, 1000).await.unwrap();
    assert_eq!((last.bytes.as_slice(), last.is_open), (&b"ain"[..], false));

    // A job that ended without running.
    let idle = store.give("e2", plan()).await;
    store.control.cancel(&idle, &by("ann")).await.unwrap();
    let query = OutputQuery {
        job: idle,
        attempt: None,
        step: None,
        offset: 0,
        max: 10,
    };
    let output = store.history.output(&query).await.unwrap().unwrap();
    assert_eq!((output.attempt, output.is_open), (0, false));
}

pub async fn numbers_keep_their_text(store: &Fixture) {
    let numbers = [
        "0",
        "-0",
        "1.0",
        "1.10",
        "-0.0",
        "1e2",
        "1E+2",
        "1e400",
        "123456789012345678901234567890",
        "9007199254740993",
        "-9223372036854775809",
        "18446744073709551616",
        "0.1000000000000000055511151231257827",
        "2.50e-10",
    ];
    // As text: a value made by a macro would have its exponents rewritten.
    let list = format!("[{}]", numbers.join(","));
    let text = format!(r#"{{"numbers": {list}, "deep": [[{{"n": {list}}}]]}}"#);
    let body = model::json::parse(&text).unwrap();
    let as_sent = numbers.map(str::to_owned).to_vec();
    assert_eq!(texts(&body["numbers"]), as_sent, "the reader keeps them");

    let mut sent = event("e1", store.now());
    sent.body = body.clone();
    sent.headers = object(body.clone());
    let job = store
        .accept_one(judged(sent.clone(), vec![fire("r", plan())]))
        .await
        .jobs
        .remove(0);

    let kept = store.history.event(&sent.id).await.unwrap().unwrap().event;
    assert_eq!(texts(&kept.body["numbers"]), as_sent);
    assert_eq!(texts(&kept.body["deep"][0][0]["n"]), as_sent);
    assert_eq!(texts(&kept.headers["numbers"]), as_sent);
    let page = store.history.events(&all_events()).await.unwrap();
    assert_eq!(texts(&page.items[0].event.body["numbers"]), as_sent);
    let lease = store.claim_only(&job).await;
    assert_eq!(texts(&lease.event.body["numbers"]), as_sent);

    let ended = model::job::StepEnd {
        result: Some(object(body)),
        ..end(0, succeeded())
    };
    let fenced = store
        .queue
        .finish(
            &lease.id,
            Some(&ended),
            &succeeded(),
            &model::job::NextState::Succeeded,
        )
        .await
        .unwrap();
    assert_eq!(fenced, Fenced::Recorded);
    let result = store.job(&job).await.result.unwrap();
    assert_eq!(texts(&result["numbers"]), as_sent);

    // Another text is another number, though its value is the same.
    let mut other = sent.clone();
    other.body = model::json::parse(&text.replace("1.10", "1.1")).unwrap();
    let answer = store.accept_one(judged(other, vec![])).await;
    assert!(answer.conflict);
    let letter = &store.open_dead().await[0];
    let raw: Value = serde_json::from_slice(letter.content.raw.as_deref().unwrap()).unwrap();
    let refused: BTreeSet<String> = texts(&raw["body"]["numbers"]).into_iter().collect();
    assert!(refused.contains("1.1") && refused.contains("1e400") || refused.contains("1e+400"));
}

fn texts(numbers: &Value) -> Vec<String> {
    let numbers = numbers.as_array().expect("a list of numbers");
    numbers.iter().map(Value::to_string).collect()
}
