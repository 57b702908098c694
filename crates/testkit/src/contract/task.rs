//! Lines of [`model::ports::task::TaskLog`].

use std::time::Duration;

use model::{
    clock::Timestamp,
    id::{JobId, LeaseId},
    job::{JobPlan, NextState, OnLost},
    page::Cursor,
    ports::{Cutoffs, Fenced},
    task::{
        HostRecap, ItemFailure, Items, PlayStart, Recap, RecordedTask, TaskEvent, TaskEventKind,
        TaskPage, TaskQuery, TaskResult, TaskStart, TaskStatus,
    },
};

use super::{
    Fixture,
    build::{end, failed, plan, retrying, steps, succeeded},
};

fn play() -> TaskEvent {
    TaskEvent::Play(PlayStart {
        play: "all of them".to_owned(),
    })
}

fn task(name: &str) -> TaskEvent {
    TaskEvent::Task(TaskStart {
        play: "all of them".to_owned(),
        task: name.to_owned(),
        action: "command".to_owned(),
        role: Some("web".to_owned()),
        handler: true,
    })
}

fn result(host: &str, status: TaskStatus) -> TaskEvent {
    TaskEvent::Result(TaskResult {
        play: "all of them".to_owned(),
        task: "a task".to_owned(),
        host: host.to_owned(),
        status,
        handler: false,
        duration_ms: Some(17),
        message: Some("ü\n\t\"\\ \u{fffd}".to_owned()),
        diff: None,
        censored: true,
        delegated_to: Some("localhost".to_owned()),
        tries: Some(3),
        items: Some(Items {
            ok: 1,
            changed: 2,
            failed: 1,
            skipped: 0,
            failures: vec![ItemFailure {
                item: Some("x".to_owned()),
                message: None,
                censored: false,
            }],
        }),
    })
}

/// The recap of a host with one result.
fn recap(host: &str, status: TaskStatus) -> TaskEvent {
    let mut recap = HostRecap::of(host);
    recap.count(status);
    TaskEvent::Recap(recap)
}

async fn offer(store: &Fixture, lease: &LeaseId, step: usize, events: &[TaskEvent]) -> Fenced {
    let at = store.now();
    let events = events.iter().map(|event| (at, event.clone())).collect();
    store.tasks.append_tasks(lease, step, events).await.unwrap()
}

async fn tell(store: &Fixture, lease: &LeaseId, step: usize, events: &[TaskEvent]) {
    let fenced = offer(store, lease, step, events).await;
    assert_eq!(fenced, Fenced::Recorded, "{lease}");
}

fn all(job: &JobId) -> TaskQuery {
    TaskQuery {
        job: job.clone(),
        attempt: None,
        kind: None,
        status: None,
        host: None,
        after: None,
        limit: 1_000,
    }
}

async fn page(store: &Fixture, query: &TaskQuery) -> TaskPage {
    let page = store.tasks.tasks(query).await.unwrap();
    page.expect("the job is there")
}

async fn told(store: &Fixture, query: &TaskQuery) -> Vec<TaskEvent> {
    let items = page(store, query).await.page.items;
    items.into_iter().map(|item| item.event).collect()
}

pub async fn task_events_are_kept_in_order_and_refused_from_a_stale_lease(store: &Fixture) {
    let job = store.give("e1", plan()).await;
    let nobody = page(store, &all(&job)).await;
    assert_eq!((nobody.attempt, nobody.is_open), (0, true));
    let lease = store.claim_only(&job).await;
    let events: Vec<TaskEvent> = [play(), task("a task")]
        .into_iter()
        .chain((0..300).map(|n| result(&format!("web{n}"), TaskStatus::ALL[n % 7])))
        .chain([TaskEvent::LeftOut {
            count: u64::MAX >> 1,
        }])
        .collect();
    let (first, second) = events.split_at(2);
    tell(store, &lease.id, 0, first).await;
    tell(store, &lease.id, 0, &[]).await;
    tell(store, &lease.id, 0, second).await;
    assert_eq!(told(store, &all(&job)).await, events);
    let RecordedTask {
        place,
        attempt,
        step,
        at,
        event: _,
    } = page(store, &all(&job)).await.page.items[1];
    assert_eq!((place, attempt, step, at), (Cursor(2), 1, 0, store.now()));

    store.expire();
    let late = [recap("web1", TaskStatus::Ok)];
    assert_eq!(offer(store, &lease.id, 0, &late).await, Fenced::Stale);
    store.recover().await;
    let second = store.claim_only(&job).await;
    assert_eq!(offer(store, &lease.id, 0, &late).await, Fenced::Stale);
    tell(store, &second.id, 0, &late).await;
    let first = TaskQuery {
        attempt: Some(1),
        ..all(&job)
    };
    assert_eq!(told(store, &first).await, events);
    assert_eq!(told(store, &all(&job)).await, late);
    let page = page(store, &all(&job)).await;
    assert_eq!(page.page.items[0].place, Cursor(1), "counted by attempt");
}

pub async fn task_events_are_read_by_attempt_kind_status_and_host(store: &Fixture) {
    let job = store.give("e1", plan()).await;
    let lease = store.claim_only(&job).await;
    let events = [
        play(),
        task("a task"),
        result("web1", TaskStatus::Changed),
        result("web2", TaskStatus::Failed),
        recap("web1", TaskStatus::Changed),
        recap("web2", TaskStatus::Failed),
    ];
    tell(store, &lease.id, 0, &events).await;
    let pick = |indexes: &[usize]| -> Vec<TaskEvent> {
        indexes.iter().map(|index| events[*index].clone()).collect()
    };
    let kind = TaskQuery {
        kind: Some(TaskEventKind::Recap),
        ..all(&job)
    };
    assert_eq!(told(store, &kind).await, pick(&[4, 5]));
    let status = TaskQuery {
        status: Some(TaskStatus::Failed),
        ..all(&job)
    };
    assert_eq!(told(store, &status).await, pick(&[3]));
    let host = TaskQuery {
        host: Some("web1".to_owned()),
        ..all(&job)
    };
    assert_eq!(told(store, &host).await, pick(&[2, 4]));
    let both = TaskQuery {
        kind: Some(TaskEventKind::Play),
        ..host
    };
    assert_eq!(told(store, &both).await, []);

    let other_attempt = TaskQuery {
        attempt: Some(2),
        ..all(&job)
    };
    assert_eq!(store.tasks.tasks(&other_attempt).await.unwrap(), None);
    let nobody = all(&JobId::generate());
    assert_eq!(store.tasks.tasks(&nobody).await.unwrap(), None);
}

pub async fn pages_of_task_events_cover_them_while_they_grow(store: &Fixture) {
    let job = store.give("e1", plan()).await;
    let lease = store.claim_only(&job).await;
    let events: Vec<TaskEvent> = (0..25)
        .map(|n| result(&format!("web{n}"), TaskStatus::Ok))
        .collect();
    let mut kept = events.chunks(5);
    let mut seen = Vec::new();
    let mut query = TaskQuery {
        limit: 4,
        ..all(&job)
    };
    loop {
        if let Some(chunk) = kept.next() {
            tell(store, &lease.id, 0, chunk).await;
        }
        let TaskPage { page, is_open, .. } = page(store, &query).await;
        assert!(is_open, "the attempt runs");
        if page.items.is_empty() {
            assert_eq!(page.next, query.after, "where to ask again");
            break;
        }
        seen.extend(page.items.into_iter().map(|item| item.event));
        query.after = page.next;
    }
    assert_eq!(seen, events);

    store.succeed(&lease).await;
    assert!(!page(store, &query).await.is_open);
    query.after = Some(Cursor(i64::MAX));
    assert_eq!(told(store, &query).await, []);
    query.after = Some(Cursor(3));
    assert!(page(store, &query).await.is_open, "more is there");
}

pub async fn the_recap_of_a_job_is_of_the_last_attempt_of_each_step(store: &Fixture) {
    let two = JobPlan {
        steps: steps(2, OnLost::Retry),
        ..plan()
    };
    let job = store.give("e1", two).await;
    let silent = store.give("e2", plan()).await;
    let jobs = [job.clone(), silent.clone(), JobId::generate()];
    let recaps = async || store.tasks.recaps(&jobs).await.unwrap();
    let leases = store.claim(10).await;
    let first = leases.iter().find(|lease| lease.id.job == job).unwrap();
    assert!(recaps().await.is_empty());

    let db = [recap("db1", TaskStatus::Changed)];
    tell(store, &first.id, 0, &db).await;
    let again = [recap("db1", TaskStatus::Failed)];
    tell(store, &first.id, 0, &again).await;
    let well = end(0, succeeded());
    let advanced = store.queue.advance(&first.id, &well).await.unwrap();
    assert_eq!(advanced, Fenced::Recorded);
    let hosts: Vec<TaskEvent> = (0..7)
        .map(|n| recap(&format!("web{n}"), TaskStatus::Failed))
        .collect();
    tell(store, &first.id, 1, &hosts).await;
    let found = recaps().await;
    let expected = Recap {
        hosts: 8,
        failed: 7,
        changed: 1,
        failed_names: ["web0", "web1", "web2", "web3", "web4"]
            .map(str::to_owned)
            .to_vec(),
        changed_names: vec!["db1".to_owned()],
    };
    assert_eq!(found.len(), 1, "the other job has told nothing");
    assert_eq!(found[&job], expected, "the first recap of a host counts");

    let last = end(1, failed());
    let retry = retrying(Duration::ZERO);
    let fenced = store
        .queue
        .finish(&first.id, Some(&last), &failed(), &retry)
        .await;
    assert_eq!(fenced.unwrap(), Fenced::Recorded);
    assert_eq!(recaps().await[&job], expected, "until there is another");
    let second = store.claim_only(&job).await;
    let hosts = [
        recap("web0", TaskStatus::Changed),
        recap("web1", TaskStatus::Ok),
    ];
    tell(store, &second.id, 1, &hosts).await;
    let expected = Recap {
        hosts: 3,
        failed: 0,
        changed: 2,
        failed_names: Vec::new(),
        changed_names: vec!["db1".to_owned(), "web0".to_owned()],
    };
    assert_eq!(recaps().await[&job], expected);

    // Also where nothing happened at all.
    let lease = leases.iter().find(|lease| lease.id.job == silent).unwrap();
    tell(store, &lease.id, 0, &[recap("quiet", TaskStatus::Ok)]).await;
    assert_eq!(recaps().await[&silent].hosts, 1);
}

pub async fn the_recap_of_a_job_forgets_no_change_of_an_earlier_attempt(store: &Fixture) {
    let job = store.give("e1", plan()).await;
    let first = store.claim_only(&job).await;
    let mut broken = HostRecap::of("web1");
    broken.count(TaskStatus::Changed);
    broken.count(TaskStatus::Failed);
    let hosts = [
        TaskEvent::Recap(broken),
        recap("web2", TaskStatus::Unreachable),
        recap("web3", TaskStatus::Changed),
        recap("web4", TaskStatus::Failed),
    ];
    tell(store, &first.id, 0, &hosts).await;
    let retry = retrying(Duration::ZERO);
    store.finish(&first, failed(), retry).await;

    // Nothing was left to do, and two hosts are not part of it any more.
    let second = store.claim_only(&job).await;
    let hosts = [recap("web1", TaskStatus::Ok), recap("web2", TaskStatus::Ok)];
    tell(store, &second.id, 0, &hosts).await;
    store.succeed(&second).await;
    let expected = Recap {
        hosts: 3,
        failed: 0,
        changed: 2,
        failed_names: Vec::new(),
        changed_names: vec!["web1".to_owned(), "web3".to_owned()],
    };
    let recaps = store.tasks.recaps(std::slice::from_ref(&job)).await;
    assert_eq!(recaps.unwrap()[&job], expected);
}

pub async fn task_events_go_with_the_output_of_their_attempt(store: &Fixture) {
    let job = store.give("e1", plan()).await;
    let lease = store.claim_only(&job).await;
    // It has printed nothing.
    tell(store, &lease.id, 0, &[recap("web1", TaskStatus::Ok)]).await;
    let later = store.now().plus(Duration::from_secs(1));
    let cutoffs = Cutoffs {
        events: Timestamp::from_millis(0),
        output: later,
        dead: Timestamp::from_millis(0),
    };
    let pruned = store.upkeep.prune(&cutoffs, 100).await.unwrap();
    assert_eq!(pruned.outputs, 0, "the attempt runs");
    store
        .finish(&lease, succeeded(), NextState::Succeeded)
        .await;
    // Packing the output of ended attempts leaves them as they are.
    let kept = Cutoffs {
        output: Timestamp::from_millis(0),
        ..cutoffs
    };
    store.upkeep.prune(&kept, 100).await.unwrap();
    assert_eq!(told(store, &all(&job)).await.len(), 1);

    let pruned = store.upkeep.prune(&cutoffs, 100).await.unwrap();
    assert_eq!(pruned.outputs, 1);
    let page = page(store, &all(&job)).await;
    assert_eq!((page.page.items, page.is_open), (vec![], false));
    let recaps = store.tasks.recaps(std::slice::from_ref(&job)).await;
    assert!(recaps.unwrap().is_empty());
    let pruned = store.upkeep.prune(&cutoffs, 100).await.unwrap();
    assert_eq!(pruned.outputs, 0);
}
